"""What CONTRIBUTING.md says of the code is so."""

import re

import pytest

from tests.projects import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ANSWERS = re.findall(r"^\| .+ \| (\S+\.py), `(\w+)` \|$", TEXT, re.MULTILINE)


def test_six_questions_are_answered() -> None:
    assert len(ANSWERS) == 6


@pytest.mark.parametrize(("file", "name"), ANSWERS)
def test_what_is_looked_for_is_where_it_is_said_to_be(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted({*re.findall(r"[\w/]+/\w+\.(?:py|md|js)\b", TEXT)}))
def test_a_file_that_is_named_is_there(path: str) -> None:
    if "x_y" not in path:  # the pattern of a name
        assert (ROOT / path).is_file()
