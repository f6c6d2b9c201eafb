import json
import time
from pathlib import Path

import pytest

from flows.engine.durations import describe, describe_total, estimate, record
from flows.engine.plan import PlannedStage, Verdict, make_plan
from flows.engine.repro import repro
from tests.flows.toy import dvc


def make_stage(
    name: str = "train@a",
    verdict: Verdict = "run",
    epochs: int | None = None,
) -> PlannedStage:
    return PlannedStage(name, verdict, (), (), {}, epochs)


def test_a_stage_takes_as_long_as_it_last_took(tmp_path: Path) -> None:
    record(make_stage(), 80, tmp_path)
    record(make_stage(), 12.5, tmp_path)
    assert estimate(make_stage(), tmp_path) == 12.5


def test_more_epochs_take_longer(tmp_path: Path) -> None:
    record(make_stage(epochs=4), 40, tmp_path)
    assert estimate(make_stage(epochs=10), tmp_path) == 100


@pytest.mark.parametrize("verdict", ["cached", "restore"])
def test_what_does_not_run_takes_no_time(tmp_path: Path, verdict: Verdict) -> None:
    record(make_stage(), 80, tmp_path)
    assert estimate(make_stage(verdict=verdict), tmp_path) == 0


def test_what_never_ran_here_has_no_estimate(tmp_path: Path) -> None:
    assert estimate(make_stage(), tmp_path) is None


def test_a_training_that_dvc_ran_by_itself_counts(tmp_path: Path) -> None:
    (tmp_path / "data/timings").mkdir(parents=True)
    (tmp_path / "data/timings/a.json").write_text(json.dumps({"train_seconds": 30.0, "epochs": 3}))
    assert estimate(make_stage(epochs=6), tmp_path) == 60


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (130, "2 min"), (3600, "1 h"), (4300, "1 h 12 min")],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert describe(seconds) == words


def test_the_total_says_what_it_does_not_know(tmp_path: Path) -> None:
    record(make_stage(), 120, tmp_path)
    plan = [make_stage(), make_stage("train@b"), make_stage("train@c", "cached")]
    assert describe_total(plan, tmp_path) == (
        "2 of 3 stages run, about 2 min; 1 never ran here, so their time is unknown"
    )
    assert describe_total(plan[2:], tmp_path) == "Nothing runs"


def test_the_estimate_of_a_rerun_is_right_within_a_quarter(new_toy: Path) -> None:
    text = (new_toy / "params.yaml").read_text()
    (new_toy / "params.yaml").write_text(
        text.replace("fetch:\n  seconds: 0", "fetch:\n  seconds: 5")
    )
    seconds = []
    for _ in range(2):
        [stage] = make_plan(new_toy, ["fetch"], force=True)
        if seconds:
            assert estimate(stage, new_toy) == pytest.approx(seconds[0], abs=0.01)
        started = time.monotonic()
        assert repro(new_toy, "fetch", force=True) == "ran"
        seconds.append(time.monotonic() - started)
        record(stage, seconds[-1], new_toy)
    assert seconds[1] == pytest.approx(seconds[0], rel=0.25)
    assert dvc(new_toy, "status", "fetch")
