import os
from pathlib import Path

import pytest

from vision.base.kept import CHECKPOINTS_KEPT, drop_older, find_place


@pytest.mark.parametrize(("told", "left"), [("", 2), ("4", 4)])
def test_two_of_a_name_stay_or_as_many_as_are_trained_side_by_side(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, told: str, left: int
) -> None:
    monkeypatch.setenv(CHECKPOINTS_KEPT, told)
    places = [find_place("paper", {"seed": str(number)}) for number in range(5)]
    for number, place in enumerate(filter(None, places)):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        os.utime(place, (number, number))
        drop_older(place)
    assert [place.exists() for place in places if place] == [False] * (5 - left) + [True] * left
