import shutil
from pathlib import Path

import pytest
import yaml

from flows.engine.overrides import parse_overrides, parse_value, set_params
from flows.engine.plan import PlannedStage, make_plan
from tests.flows.toy import dvc
from vision.base.errors import ParamsError, PipelineError

ALL = {"fetch", "train@slow", "train@quick", "count@one", "count@two", "report"}


def plan(toy: Path, *overrides: str, **options: bool) -> dict[str, PlannedStage]:
    stages = make_plan(toy, overrides=parse_overrides(overrides), **options)
    return {stage.name: stage for stage in stages}


def verdicts(toy: Path, *overrides: str) -> dict[str, str]:
    stages = plan(toy, *overrides).values()
    return {stage.name: stage.verdict for stage in stages if stage.verdict != "cached"}


def test_after_a_run_all_is_cached(toy: Path) -> None:
    stages = plan(toy)
    assert set(stages) == ALL
    assert all(stage.verdict == "cached" and not stage.reasons for stage in stages.values())


def test_before_a_run_nothing_has_ever_run(new_toy: Path) -> None:
    stages = plan(new_toy)
    assert {stage.verdict for stage in stages.values()} == {"run"}
    assert stages["report"].reasons == ("it has never run",)


def test_stages_come_after_those_that_they_need(toy: Path) -> None:
    stages = make_plan(toy)
    for i, stage in enumerate(stages):
        assert set(stage.upstream) <= {other.name for other in stages[:i]}


def test_a_list_that_is_only_thought_of_adds_and_takes_away_stages(toy: Path) -> None:
    params = yaml.safe_load((toy / "params.yaml").read_text())
    params["recipes"]["new"] = {"seconds": 0}
    (toy / "params.yaml").write_text(yaml.safe_dump(params))
    stages = plan(toy, "names=[slow,new]")
    assert {*stages} == {*ALL, "train@new"} - {"train@quick"}
    assert stages["train@new"].reasons == ("it has never run",)
    assert {name for name in stages if stages[name].verdict == "run"} == {"train@new"}


def test_a_changed_param_says_from_what_to_what(toy: Path) -> None:
    stages = plan(toy, "recipes.slow.seconds=0.5")
    assert stages["train@slow"].verdict == "run"
    assert stages["train@slow"].reasons == ("recipes.slow.seconds: 0 -> 0.5",)
    assert stages["report"].verdict == "maybe"
    assert stages["report"].reasons == ("unless train@slow gives what it gave before",)
    assert stages["train@quick"].verdict == "cached"


def test_a_missing_out_comes_back_from_the_cache(toy: Path) -> None:
    (toy / "fetch.txt").unlink()
    assert verdicts(toy) == {"fetch": "restore"}
    assert plan(toy)["fetch"].reasons == ("fetch.txt is missing",)


def test_an_out_that_the_cache_lost_is_made_again(toy: Path) -> None:
    (toy / "report.txt").unlink()
    shutil.rmtree(toy / ".dvc/cache/files")
    assert verdicts(toy)["report"] == "run"


def test_an_out_that_git_keeps_and_no_cache_is_made_again(toy: Path) -> None:
    pipeline = yaml.safe_load((toy / "dvc.yaml").read_text())
    pipeline["stages"]["report"]["outs"] = [{"report.txt": {"cache": False}}]
    (toy / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    set_params(toy, {"report.seconds": 0.01})
    dvc(toy, "repro", "report")
    assert verdicts(toy) == {}
    (toy / "report.txt").unlink()
    assert verdicts(toy) == {"report": "run"}


def test_changed_code_is_named(toy: Path) -> None:
    (toy / "stage.py").write_text((toy / "stage.py").read_text() + "# more\n")
    assert plan(toy)["fetch"].reasons == ("stage.py changed",)
    assert verdicts(toy)["train@slow"] == "maybe"


def test_a_changed_command_is_a_reason(toy: Path) -> None:
    text = (toy / "dvc.yaml").read_text()
    (toy / "dvc.yaml").write_text(text.replace("stage.py report", "-u stage.py report"))
    assert plan(toy)["report"].reasons == ("its command changed",)


def test_params_that_were_there_before_are_restored_down_the_line(toy: Path) -> None:
    """Train with another value, go back, ask for it again: the run cache has it."""
    text = (toy / "params.yaml").read_text()
    params = yaml.safe_load(text)
    params["recipes"]["slow"]["seconds"] = 0.01
    (toy / "params.yaml").write_text(yaml.safe_dump(params))
    dvc(toy, "repro", "--quiet")
    (toy / "params.yaml").write_text(text)
    dvc(toy, "repro", "--quiet")
    assert verdicts(toy, "recipes.slow.seconds=0.01") == {
        "train@slow": "restore",
        "report": "restore",
    }


def test_force_runs_all(toy: Path) -> None:
    stages = plan(toy, force=True).values()
    assert {stage.verdict for stage in stages} == {"run"}


def test_a_target_brings_what_it_needs_and_no_more(toy: Path) -> None:
    assert [stage.name for stage in make_plan(toy, ["count"])] == [
        "fetch",
        "count@one",
        "count@two",
    ]


def test_an_unknown_target_is_an_error_that_lists_the_stages(toy: Path) -> None:
    with pytest.raises(PipelineError, match=r"no stage 'trian'; there are .*train@slow"):
        make_plan(toy, ["trian"])


def test_without_git_the_way_out_is_said(new_toy: Path) -> None:
    shutil.rmtree(new_toy / ".git")
    with pytest.raises(PipelineError, match=r"^git rev-parse: not a git .*: git init, git add"):
        make_plan(new_toy)


def test_an_unknown_param_is_an_error(toy: Path) -> None:
    with pytest.raises(ParamsError, match=r"recipes\.slow\.rate is missing"):
        plan(toy, "recipes.slow.rate=1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("adam", "adam"),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_values_are_yaml_and_numbers(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["seed", "=3", ""])
def test_an_override_without_key_or_value_is_an_error(text: str) -> None:
    with pytest.raises(ParamsError, match=r"write section\.key=value"):
        parse_overrides([text])
