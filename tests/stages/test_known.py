"""What was computed before is brought back, byte for byte, and nothing else is."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.runner import run_stage
from tests.projects import ROOT
from vision.base.kept import CHECKPOINTS

DVC_YAML = """
stages:
  count:
    matrix: {model: [paper]}
    cmd: python -m stages count ${item.model}
    meta: {keeps: true}
    params: [seed]
    deps: [code.py, photos]
    outs: ["out/${item.model}"]
    metrics: ["seconds/${item.model}.json"]
"""
CODE = "x = 1\n"


class Counter:
    """A stage that counts its runs, and writes what its inputs say."""

    def __init__(self, folder: Path = Path(), during: Callable[[], object] = int) -> None:
        self.folder, self.during = folder, during
        self.runs = 0

    def run(self) -> int:
        with contextlib.chdir(self.folder):
            return run_stage(["count", "paper"], load=lambda stage: self.count)

    def count(self, name: str) -> None:
        self.runs += 1
        self.during()
        folder = Path("out") / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "text").write_text(Path("photos/text").read_text())
        Path("seconds").mkdir(exist_ok=True)
        Path(f"seconds/{name}.json").write_text(str(self.runs))


def list_kept() -> list[Path]:
    return list(Path("data/checkpoints").glob("count@paper-*"))


@pytest.fixture
def stage(workspace: Path) -> Counter:
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("params.yaml").write_text("seed: 0\n")
    Path("code.py").write_text(CODE)
    Path("photos").mkdir()
    Path("photos/text").write_text("cat")
    counter = Counter()
    assert counter.run() == 0
    return counter


def test_a_comment_brings_the_same_bytes_back(
    stage: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("code.py").write_text(CODE + "# new words\n")
    Path("out/paper/text").write_text("spoilt")
    Path("out/paper/more").touch()
    assert stage.run() == 0
    assert stage.runs == 1
    assert Path("out/paper/text").read_text() == "cat"
    assert not Path("out/paper/more").exists()
    assert Path("seconds/paper.json").read_text() == "1"
    assert "known from a run with equal code" in capsys.readouterr().out


def test_nothing_that_takes_long_is_loaded_before_outs_are_known_not_to_be_there() -> None:
    heavy = {
        "captum",
        "matplotlib",
        "numpy",
        "pandas",
        "PIL",
        "pydantic",
        "scipy",
        "sklearn",
        "torch",
    }
    code = f"import sys, stages.__main__; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "set()\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [("code.py", "x = 2\n"), ("photos/text", "dog"), ("params.yaml", "seed: 1\n")],
)
def test_other_code_inputs_or_params_are_computed(stage: Counter, path: str, text: str) -> None:
    before = Path(path).read_text()
    Path(path).write_text(text)
    stage.run()
    assert stage.runs == 2
    Path(path).write_text(before)
    stage.run()
    assert stage.runs == 2


def test_of_many_results_the_two_used_last_stay(stage: Counter) -> None:
    for seed, runs in ((1, 2), (0, 2), (2, 3), (0, 3), (1, 4)):
        time.sleep(0.02)  # so that the times of use differ
        Path("params.yaml").write_text(f"seed: {seed}\n")
        stage.run()
        assert stage.runs == runs
    assert len(list_kept()) == 2


def test_a_run_in_which_an_input_changes_is_not_kept(workspace: Path) -> None:
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("params.yaml").write_text("seed: 0\n")
    Path("code.py").write_text(CODE)
    Path("photos").mkdir()

    def edit(name: str) -> None:
        Path("photos/text").write_text("late")

    assert run_stage(["count", "paper"], load=lambda stage: edit) == 1
    assert not Path("data/checkpoints").exists()


def test_where_nothing_is_to_be_kept_everything_is_computed(
    stage: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINTS, "")
    stage.run()
    assert stage.runs == 2


def test_a_stage_that_does_not_ask_for_it_keeps_nothing(stage: Counter) -> None:
    Path("dvc.yaml").write_text(DVC_YAML.replace("keeps: true", "keeps: false"))
    stage.run()
    assert stage.runs == 2
    assert len(list_kept()) == 1


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["out/paper/text", "seconds/paper.json", "sums.json"])
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_what_was_damaged_where_it_is_kept_is_computed_again(
    stage: Counter, name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(list_kept()[0] / name)
    Path("out/paper/text").unlink()
    assert stage.run() == 0
    assert stage.runs == 2
    assert Path("out/paper/text").read_text() == "cat"
    assert "is damaged: computing it again" in capsys.readouterr().out
    stage.run()
    assert stage.runs == 2


def test_outs_that_find_no_place_are_not_kept_and_no_stage_fails_for_it(
    stage: Counter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    monkeypatch.setenv(CHECKPOINTS, "file/folder")
    assert stage.run() == 0
    assert stage.runs == 2
    assert capsys.readouterr().out.startswith("note: the outs are not kept for a later run: ")


def test_what_another_run_keeps_meanwhile_is_as_good(
    workspace: Path, stage: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trees with one folder: the second finds the place taken when it is done."""
    shutil.rmtree("data/checkpoints")
    other = workspace / "other"
    shutil.copytree(workspace, other, ignore=shutil.ignore_patterns("other"))
    monkeypatch.setenv(CHECKPOINTS, str(workspace / "data/checkpoints"))
    first = Counter(other)
    second = Counter(during=first.run)
    assert second.run() == 0
    assert (first.runs, second.runs) == (1, 1)
    assert second.run() == 0
    assert second.runs == 1
    assert len(list_kept()) == 1
