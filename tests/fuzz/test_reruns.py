"""Changes of every kind rerun what they touch and nothing else, and the plan says so before."""

from pathlib import Path

import pytest

from tests.fuzz.cases import choose_kinds, environment, run_case
from tests.fuzz.changes import (
    EDITS,
    KINDS,
    Kind,
    change_code,
    change_meaningless,
    change_models,
    change_param,
    delete_object,
    go_back,
    lose_lines,
    push_and_clone,
    respell_param,
    share_cache,
)
from tests.fuzz.world import World
from tests.projects import ROOT

pytestmark = pytest.mark.slow

SEQUENCES: list[list[Kind]] = [
    [change_models, share_cache],  # what a model left that is no longer listed
    [change_models, go_back],
    [change_code, go_back],
    [change_param, lose_lines, go_back],
    [change_meaningless, push_and_clone, go_back],
    [respell_param, change_param],
    [change_param, delete_object, go_back],
]
# With the changes of the table there are 60 of a single change, and of sequences these and 13 that
# a seed gives.
CASES: list[list[Kind]] = [
    *([kind] for kind in KINDS),
    *([kind] for kind in KINDS),
    *([change_param] for _ in range(6)),
    *SEQUENCES,
    *(choose_kinds(seed, length) for seed, length in enumerate([2, 3] * 6 + [2])),
]
GROUPS = 14


@pytest.mark.parametrize(("path", "old", "new"), EDITS, ids=lambda text: text[:30])
def test_code_still_has_what_the_fuzz_edits(path: str, old: str, new: str) -> None:
    assert old in (ROOT / path).read_text()


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_change_reruns_what_it_touches_and_the_plan_says_so(
    group: int, base: tuple[World, Path]
) -> None:
    world, own = base
    faults = []
    with environment(own):
        for seed in range(group, len(CASES), GROUPS):
            faults += run_case(world, own / f"case-{seed}", seed, CASES[seed])
    assert not faults, "\n".join(faults)
