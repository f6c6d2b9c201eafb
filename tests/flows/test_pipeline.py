"""The flow on a toy project, with a Prefect server of its own."""

import os
import shutil
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import State, TaskRun

from flows.engine.overrides import set_params
from flows.engine.plan import make_plan
from flows.orchestration.server import GPU_TAG, limit_gpu_stages
from flows.pipeline import pipeline
from tests.flows.commands.typed import type_pipeline
from tests.flows.toy import (
    assert_nothing_is_left,
    dvc,
    git,
    is_running,
    read_times,
    wait_until,
)
from vision.base.files import write_json
from vision.base.params import PARAMS_FILE, read_params

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]


@pytest.fixture(autouse=True)
def _here(new_toy: Path, warm_python: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the toy project, with a limit on GPU stages that none of these reaches.

    Without any limit Prefect would remember for 5 s that there is none, also in the next test.
    """
    monkeypatch.chdir(new_toy)
    limit_gpu_stages(10)


def run(name: str, **parameters: Any) -> State[Any]:
    flow = pipeline.with_options(flow_run_name=name)
    return flow(return_state=True, **parameters)  # type: ignore[no-any-return]


def read_tasks(name: str) -> dict[str, TaskRun]:
    """Return the task runs of a flow that has ended, once the server has noted all of them.

    Prefect's server writes task runs down from events, some time after the flow's own end.
    """
    runs: dict[str, TaskRun] = {}

    def has_settled() -> bool:
        seen = set(runs)
        runs.clear()
        runs.update((task.name, task) for task in fetch_tasks(name))
        return set(runs) == seen and all(has_ended(t) and has_its_name(t) for t in runs.values())

    wait_until(has_settled)
    return runs


def fetch_tasks(name: str) -> list[TaskRun]:
    only = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        return client.read_task_runs(flow_run_filter=only)


def has_ended(task: TaskRun) -> bool:
    """Say whether a task run has ended; one whose upstream failed stays pending, as not ready.

    The server may have noted a run, but no state of it yet.
    """
    return task.state is not None and (task.state.is_final() or task.state_name == "NotReady")


def has_its_name(task: TaskRun) -> bool:
    """Say whether a task run has lost the name that Prefect gives it when it is born."""
    return not task.name.endswith(f"-{task.dynamic_key[:3]}")


def read_states(name: str) -> dict[str, str]:
    return {key: str(task.state_name) for key, task in read_tasks(name).items()}


def read_waits(name: str) -> set[tuple[str, str]]:
    """Return the pairs of tasks of which the second waited for the first."""
    tasks = read_tasks(name)
    names = {task.id: key for key, task in tasks.items()}
    return {
        (names[waited.id], key)
        for key, task in tasks.items()
        for waited in task.task_inputs.get("wait_for", [])
    }


def read_edges() -> set[tuple[str, str]]:
    """Return the edges of DVC's own graph, from the stage that writes to the one that reads."""
    edges = set()
    for line in dvc(Path(), "dag", "--dot").splitlines():
        if "->" in line:
            before, after = (end.strip('" ;') for end in line.split("->"))
            edges.add((before, after))
    return edges


def test_the_tasks_are_the_stages_with_their_tags_and_wait_for_those_that_dvc_says() -> None:
    assert run("first").is_completed()
    assert read_waits("first") == read_edges()
    assert len(read_tasks("first")) == 6
    assert set(read_states("first").values()) == {"Completed"}
    tagged = {name for name, task in read_tasks("first").items() if GPU_TAG in task.tags}
    assert tagged == {"train@slow", "train@quick"}


def test_what_the_plan_holds_for_current_and_dvc_does_not_is_run_in_the_end(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chdir(toy)
    plan = make_plan(toy)
    assert {stage.verdict for stage in plan} == {"cached"}
    (toy / "count-one.txt").write_text("edited after the plan")
    monkeypatch.setattr("flows.pipeline.make_plan", lambda *_, **__: plan)
    before = len(read_times(toy))
    assert run("late").is_completed()
    assert (toy / "count-one.txt").read_text() != "edited after the plan"
    assert len(read_times(toy)) == before  # DVC's cache had it
    assert "up to date" in dvc(toy, "status")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
def test_a_model_added_to_the_real_pipeline_is_in_the_flow(
    changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(changed)
    params = read_params()
    params["baselines"]["small"] = params["baselines"]["two-layer-fc"] | {"hidden_units": 8}
    params["models"]["baselines"].append("small")
    params["models"]["evaluate"].append("small")
    assert run("as-it-is").message == "0 of 22 stages ran"
    assert read_waits("as-it-is") == read_edges()
    PARAMS_FILE.write_text(yaml.safe_dump(params, sort_keys=False))
    assert run("added").message == (
        "5 of 26 stages ran: train-baselines@small, evaluate@small, robustness@small, "
        "explain@small, plot"
    )
    assert read_waits("added") == read_edges()
    assert list(read_states("added").values()).count("Cached") == 21


def test_what_is_current_ends_as_cached_without_a_process(toy: Path) -> None:
    os.chdir(toy)
    (toy / "times.jsonl").unlink()
    state = run("again")
    assert state.message == "0 of 6 stages ran"
    assert set(read_states("again").values()) == {"Cached"}
    assert not (toy / "times.jsonl").exists()


def test_a_changed_param_runs_as_an_experiment_and_leaves_params_alone(toy: Path) -> None:
    """One that is not finished is not saved: outs would be recorded that other params gave."""
    os.chdir(toy)
    changed = {"set": ["recipes.slow.seconds=0.01"]}
    run("half", **changed, targets=["train@slow"])
    assert run("whole", **changed).is_completed()
    for name, ran in (("half", {"train@slow"}), ("whole", {"report"})):
        assert {key for key, word in read_states(name).items() if word == "Completed"} == ran
    experiments = dvc(toy, "exp", "list", "--all-commits")
    assert "whole" in experiments
    assert "half" not in experiments
    assert git(toy, "status", "--porcelain") == ""
    assert not list((toy / ".dvc/tmp/trees").iterdir())


def test_a_part_of_a_run_in_its_own_tree_needs_no_report(toy: Path) -> None:
    """Git keeps the metrics, but not the page that the report would be shown from."""
    os.chdir(toy)
    write_json(toy / "reports/metrics.json", {"models": {}})
    git(toy, "add", "--all")
    git(toy, "commit", "--quiet", "--message", "Metrics")
    assert run("part", targets=["train@slow"], isolated=True).is_completed()


def test_a_failure_names_the_cause_and_spares_what_does_not_depend_on_it(new_toy: Path) -> None:
    """Status 1 has said what is wrong; a stage killed for memory, 137, is tried again."""
    set_params(new_toy, {"recipes.slow.fail": 137, "recipes.quick.fail": 1})
    state = run("broken")
    assert state.is_failed()
    assert state.message == "train@slow: slow was told to fail; train@quick: quick was told to fail"
    assert read_states("broken") == {
        "fetch": "Completed",
        "train@slow": "Failed",
        "train@quick": "Failed",
        "count@one": "Completed",
        "count@two": "Completed",
        "report": "NotReady",
    }
    tasks = read_tasks("broken")
    assert (tasks["train@slow"].run_count, tasks["train@quick"].run_count) == (2, 1)
    assert_nothing_is_left(new_toy)


def test_what_is_refused_ends_the_flow_in_one_line_of_its_log(
    new_toy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a deployment would start it, past the command line's own checks."""
    state = run("refused", set=["fetch.nap=1"])
    assert state.is_failed()
    assert state.message == "fetch.nap is missing: fetch has seconds"
    assert "Traceback" not in "".join(capfd.readouterr())


def overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] < second[1] and second[0] < first[1]


def test_two_gpu_stages_never_overlap_under_a_limit_of_one_and_others_do(new_toy: Path) -> None:
    set_params(new_toy, {"recipes.slow.seconds": 2, "recipes.quick.seconds": 2, "++count.meet": 2})
    limit_gpu_stages(1)
    assert run("limited", jobs=4).is_completed()
    times = read_times(new_toy)
    assert not overlap(times["train@slow"], times["train@quick"])


def test_under_a_higher_limit_gpu_stages_overlap_and_jobs_bound_them(new_toy: Path) -> None:
    set_params(new_toy, {"++recipes.slow.meet": 2, "++recipes.quick.meet": 2})
    assert run("free", jobs=2, targets=["train"]).is_completed()
    set_params(new_toy, {"recipes.slow.seconds": 2, "recipes.quick.seconds": 2})
    assert run("one-by-one", jobs=1, targets=["train"]).is_completed()
    times = read_times(new_toy)
    assert not overlap(times["train@slow"], times["train@quick"])


def test_a_run_that_is_told_to_end_or_killed_leaves_no_process_and_no_lock(
    new_toy: Path, tmp_path: Path
) -> None:
    """Ctrl-C is one line and status 130."""
    set_params(new_toy, {"fetch.seconds": 600})
    toys = {number: tmp_path / number.name for number in (SIGTERM, SIGKILL, SIGINT)}
    runs = {n: type_pipeline(shutil.copytree(new_toy, toy), "run") for n, toy in toys.items()}
    for number, typed in runs.items():
        wait_until(lambda toy=toys[number]: is_running(toy))
        typed.process.send_signal(number)
    assert {number: typed.process.wait(60) for number, typed in runs.items()} == {
        SIGTERM: -SIGTERM,
        SIGKILL: -SIGKILL,
        SIGINT: 130,
    }
    said = runs[SIGINT].read()
    assert "interrupted: ending what runs\n" in said
    assert "Traceback" not in said
    for toy in toys.values():
        assert_nothing_is_left(toy)


def test_what_one_run_pushes_another_pulls(toy: Path, tmp_path: Path) -> None:
    os.chdir(toy)
    dvc(toy, "remote", "add", "--default", "store", str(tmp_path / "store"))
    assert run("sent", push=True).is_completed()
    shutil.rmtree(toy / ".dvc/cache")
    for out in toy.glob("*.txt"):
        out.unlink()
    assert run("fetched", pull=True).message == "0 of 6 stages ran"
    assert (toy / "report.txt").exists()


def test_a_run_can_be_published_to_a_branch(toy: Path) -> None:
    os.chdir(toy)
    (toy / "reports").mkdir()
    (toy / "reports/report.md").write_text("# As it was\n")
    git(toy, "add", "--all")
    git(toy, "commit", "--quiet", "--message", "Report")
    head = git(toy, "rev-parse", "HEAD")
    assert run("one", set=["report.seconds=0.01"], publish="nightly").is_completed()
    assert run("two", set=["report.seconds=0.02"], publish="nightly").is_completed()
    assert git(toy, "rev-parse", "HEAD") == head
    subjects = git(toy, "log", "--first-parent", "--format=%s %P", "nightly").splitlines()
    assert subjects[0].startswith("Record the run two ")
    assert "seconds: 0.02" in git(toy, "show", "nightly:params.yaml")
    one = git(toy, "rev-parse", "nightly^2").strip()
    assert git(toy, "log", "-1", "--format=%s", one).strip() == "Record the run one"
