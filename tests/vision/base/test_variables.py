import pytest

from vision.base import variables
from vision.base.variables import read_variable


def test_a_variable_has_a_prefix_and_its_old_name_counts_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables._tell.cache_clear()
    assert read_variable("PIPELINE_NOTHING") is None
    monkeypatch.setenv("NOTHING", "old")
    assert [read_variable("PIPELINE_NOTHING") for _ in range(2)] == ["old", "old"]
    words = "note: the variable NOTHING is called PIPELINE_NOTHING now\n"
    assert capsys.readouterr().err == words
    monkeypatch.setenv("PIPELINE_NOTHING", "")
    assert read_variable("PIPELINE_NOTHING") == ""
