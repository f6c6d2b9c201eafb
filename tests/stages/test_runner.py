from pathlib import Path

import pytest

from stages.runner import fingerprint, run_stage
from vision.errors import DataError

DVC_YAML = """
stages:
  judge:
    matrix: {model: [paper]}
    cmd: python -m stages.judge ${item.model}
    params: [seed, "finetune.${item.model}"]
    deps: [code.py, "data/${item.model}"]
    outs: [out]
  draw: {cmd: python -m stages.draw, deps: [code.py], outs: [figures]}
"""


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(DVC_YAML)
    (workspace / "params.yaml").write_text("seed: 0\nfinetune: {paper: {epochs: 1}}\nplot: {}\n")
    (workspace / "code.py").write_text("1")
    (workspace / "data/paper").mkdir(parents=True)
    (workspace / "data/paper/labels").write_text("cat")


def judge(name: str) -> None:
    Path("out").write_text(name)


def test_a_stage_that_ends_well_has_status_0() -> None:
    assert run_stage("judge", judge, ["paper"]) == 0
    assert Path("out").read_text() == "paper"


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("code.py", "2", "code.py"),
        ("data/paper/labels", "dog", "data/paper"),
        ("params.yaml", "seed: 1\nfinetune: {paper: {epochs: 1}}", "seed"),
        ("params.yaml", "seed: 0\nfinetune: {paper: {epochs: 2}}", "finetune.paper"),
    ],
)
def test_an_edit_while_a_stage_runs_fails_it_and_is_named(
    path: str, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(name: str) -> None:
        Path(path).write_text(text)

    assert run_stage("judge", edit, ["paper"]) == 1
    assert capsys.readouterr().err == (
        f"error: {named} changed while judge was running: run it again\n"
    )


def test_an_edit_of_another_stages_section_or_of_a_comment_does_no_harm() -> None:
    def edit(name: str) -> None:
        text = "seed: 0 # new words\nfinetune: {paper: {epochs: 1}}\nplot: {dpi: 99}\n"
        Path("params.yaml").write_text(text)

    assert run_stage("judge", edit, ["paper"]) == 0


def test_a_known_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(name: str) -> None:
        raise DataError("data/raw has one class, 'cat': add a second")

    assert run_stage("judge", fail, ["paper"]) == 1
    assert capsys.readouterr().err == "error: data/raw has one class, 'cat': add a second\n"


def test_an_interrupt_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    assert run_stage("judge", interrupt, ["paper"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "judge takes one name, not 'none'"),
        (["a", "b"], "judge takes one name, not 'a b'"),
        (["$(id)"], "'$(id)' cannot name a recipe"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_stage("judge", judge, arguments) == 1
    assert message in capsys.readouterr().err


def test_the_fingerprint_names_each_declared_dep_and_param() -> None:
    assert set(fingerprint("judge", "paper")) == {
        "code.py",
        "data/paper",
        "seed",
        "finetune.paper",
    }
    assert set(fingerprint("draw")) == {"code.py"}
