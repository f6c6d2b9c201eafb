"""What was computed before is brought back, byte for byte, and nothing else is."""

import time
from pathlib import Path

import pytest

from stages.runner import run_stage
from vision.base.kept import CHECKPOINTS

DVC_YAML = """
stages:
  count:
    matrix: {model: [paper]}
    cmd: python -m stages.count ${item.model}
    params: [seed]
    deps: [code.py, photos]
    outs: ["out/${item.model}"]
    metrics: ["seconds/${item.model}.json"]
"""
CODE = "x = 1\n"


class Counter:
    """A stage that counts its runs, and writes what its inputs say."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self) -> int:
        def main(name: str) -> None:
            self.runs += 1
            folder = Path("out") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "text").write_text(Path("photos/text").read_text())
            Path("seconds").mkdir(exist_ok=True)
            Path(f"seconds/{name}.json").write_text(str(self.runs))

        return run_stage("count", main, ["paper"], keeps=True)


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
    assert len(list(Path("data/checkpoints").iterdir())) == 2


def test_a_run_in_which_an_input_changes_is_not_kept(workspace: Path) -> None:
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("params.yaml").write_text("seed: 0\n")
    Path("code.py").write_text(CODE)
    Path("photos").mkdir()

    def edit(name: str) -> None:
        Path("photos/text").write_text("late")

    assert run_stage("count", edit, ["paper"], keeps=True) == 1
    assert not Path("data/checkpoints").exists()


def test_where_nothing_is_to_be_kept_everything_is_computed(
    stage: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINTS, "")
    stage.run()
    assert stage.runs == 2
