"""Commands find the project from below it, and say in one line that there is none."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from flows import cli
from flows.engine.project import find_project

OUTSIDE: list[list[str]] = [
    ["plan"],
    ["run"],
    ["sweep", "-g", "seed=1,2"],
    ["deploy"],
    ["serve"],
    ["doctor"],
    ["compare", "HEAD"],
    ["demo"],
]


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("words", OUTSIDE, ids=" ".join)
def test_outside_any_project_each_command_says_so_in_one_line(
    words: list[str],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(words, monkeypatch) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: there is no project at {workspace}, nor above it: ")
    assert not list(workspace.iterdir())


def test_a_folder_that_is_gone_is_said(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = workspace / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert call(["plan"], monkeypatch) == 1
    assert "the folder that this shell is in was removed" in capsys.readouterr().err


def test_the_nearest_project_upwards_is_found(toy: Path) -> None:
    (toy / "a/b").mkdir(parents=True)
    assert find_project(toy / "a/b") == toy
    shutil.copytree(toy, toy / "a/inner", ignore=shutil.ignore_patterns("a"))
    assert find_project(toy / "a/inner") == toy / "a/inner"
    assert find_project(toy.parent) is None


def test_typed_paths_are_meant_from_where_they_are_typed(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = toy / "docs/deep"
    (below / "photos").mkdir(parents=True)
    params = (toy / "params.yaml").read_text()
    (toy / "params.yaml").write_text(f"{params}data:\n  source: nothing\n")
    text = (toy / "dvc.yaml").read_text()
    (toy / "dvc.yaml").write_text(text.replace("- fetch\n", "- fetch\n    - data.source\n"))
    monkeypatch.chdir(below)
    assert call(["plan", "-S", "data.source=photos", "--json"], monkeypatch) == 0
    (fetch, *_) = json.loads(capsys.readouterr().out)
    assert "data.source: None -> docs/deep/photos" in fetch["reasons"]
