from pathlib import Path

import pytest
import yaml

from flows.commands.planning import print_plan, tabulate_plan
from flows.engine.plan import make_plan
from flows.placing.places import place_stages
from flows.placing.pools import list_pools


def test_a_plan_shows_places_only_where_a_stage_runs_elsewhere(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(toy)
    plan = make_plan(overrides={"recipes.slow.seconds": 1})
    print_plan(plan, {}, {})
    assert "place" not in capsys.readouterr().out
    pools = place_stages(plan, {"train": "gpu"})
    print_plan(plan, pools, {})
    said = capsys.readouterr().out
    assert said.splitlines()[0].split() == ["stage", "verdict", "why", "time", "place"]
    assert "not known what would move: DVC has no remote to move results by" in said
    places = {row["name"]: row["place"] for row in tabulate_plan(plan, pools)}
    assert (places["train@slow"], places["train@quick"]) == ("gpu", "home")


def test_the_pools_of_a_project_are_those_that_its_stages_name(workspace: Path) -> None:
    metas = [{"prefect": {"pool": "gpu"}}, {"prefect": {"pool": "home"}}, {"keeps": True}, None]
    stages = {str(number): {"meta": meta} for number, meta in enumerate(metas)}
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    assert list_pools() == ["gpu"]
