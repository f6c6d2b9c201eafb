"""What models left that are no longer listed goes before a stage notes what it reads."""

from pathlib import Path

import pytest

from stages.runner import run_stage

DVC_YAML = """
stages:
  train:
    matrix: {model: "${models.baselines}"}
    cmd: python -m stages train ${item.model}
    outs: ["data/training/${item.model}", "data/models/${item.model}"]
    metrics: ["data/timings/${item.model}.json"]
  draw:
    cmd: python -m stages draw
    deps: [data/training, data/timings, data/raw]
    outs: [figures]
"""
PARAMS = "models: {baselines: [paper, cnn], finetune: [], evaluate: [paper]}\n"
LEFT = {
    "data/timings/gone.json",
    "data/training/gone",
    "data/training/gone/history.csv",
}
STAYS = {
    "data/timings/paper.json",
    "data/training/paper",
    "data/training/cnn",  # listed once is listed
    "data/training/.gitignore",
    "data/models/gone",  # which the stage does not read
    "data/raw/gone",  # which no model made
}


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(DVC_YAML)
    for name in LEFT | STAYS:
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        if Path(name).suffix:
            (workspace / name).touch()
        else:
            (workspace / name).mkdir(exist_ok=True)


def draw(params: str) -> set[str]:
    """Run the stage and return what it finds below data."""
    Path("params.yaml").write_text(params)
    seen = {"data/nothing"}

    def main() -> None:
        seen.update(path.as_posix() for path in Path("data").glob("*/**/*"))

    assert run_stage(["draw"], load=lambda stage: main) == 0
    return seen


def test_what_models_left_that_are_no_longer_listed_is_removed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = draw(PARAMS)
    assert seen >= STAYS
    assert not seen & LEFT
    assert capsys.readouterr().out == (
        "removed data/timings/gone.json: models in params.yaml does not list gone\n"
        "removed data/training/gone: models in params.yaml does not list gone\n"
    )


@pytest.mark.parametrize("params", ["seed: 0", "models: [paper]", "models: {evaluate: paper}"])
def test_nothing_is_removed_where_the_models_cannot_be_read(params: str) -> None:
    assert draw(params) >= STAYS | LEFT
