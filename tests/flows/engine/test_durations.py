import json
import time
from pathlib import Path
from typing import Any

import pytest

from flows.engine.durations import KNOWN_S, START_S, describe, describe_total, estimate, record
from flows.engine.plan import PlannedStage, Verdict, make_plan
from flows.engine.repro import repro
from tests.flows.toy import dvc


def make_stage(name: str = "train@a", verdict: Verdict = "run", **more: Any) -> PlannedStage:
    return PlannedStage(name, verdict, (), (), {}, **more)


def write_timing(folder: Path, seconds: float, epochs: int) -> None:
    (folder / "data/timings").mkdir(parents=True, exist_ok=True)
    timing = {"train_seconds": seconds, "epochs": epochs}
    (folder / "data/timings/a.json").write_text(json.dumps(timing))


def test_a_stage_takes_as_long_as_it_last_took(tmp_path: Path) -> None:
    record(make_stage(), "ran", 80, tmp_path, tmp_path)
    record(make_stage(), "ran", 12.5, tmp_path, tmp_path)
    assert estimate(make_stage(), tmp_path) == 12.5


def test_more_epochs_take_longer_and_the_start_does_not(tmp_path: Path) -> None:
    write_timing(tmp_path, seconds=36.0, epochs=4)  # 9 s an epoch
    record(make_stage(epochs=4, epochs_left=4), "ran", 40, tmp_path, tmp_path)  # 4 s of start
    assert estimate(make_stage(epochs=10, epochs_left=10), tmp_path) == 94


def test_epochs_that_a_checkpoint_has_take_no_time(tmp_path: Path) -> None:
    write_timing(tmp_path, seconds=36.0, epochs=4)
    record(make_stage(epochs=4, epochs_left=4), "ran", 40, tmp_path, tmp_path)
    assert estimate(make_stage(epochs=8, epochs_left=4), tmp_path) == 40
    assert estimate(make_stage(epochs=4, epochs_left=0, known=True), tmp_path) == 4


def test_a_run_that_found_its_result_does_not_count_as_a_training(tmp_path: Path) -> None:
    record(make_stage(), "ran", 80, tmp_path, tmp_path)
    assert estimate(make_stage(known=True), tmp_path) == KNOWN_S
    record(make_stage(known=True), "ran", 2, tmp_path, tmp_path)
    record(make_stage(epochs=4, epochs_left=0, known=True), "ran", 7, tmp_path, tmp_path)
    assert estimate(make_stage(), tmp_path) == 80
    assert estimate(make_stage(known=True), tmp_path) == 2
    assert estimate(make_stage(epochs=4, epochs_left=0, known=True), tmp_path) == 7


def test_what_is_cached_takes_no_time(tmp_path: Path) -> None:
    record(make_stage(), "ran", 80, tmp_path, tmp_path)
    assert estimate(make_stage(verdict="cached"), tmp_path) == 0


def test_what_comes_back_takes_as_long_as_its_bytes(tmp_path: Path) -> None:
    assert estimate(make_stage(verdict="restore", bytes=0), tmp_path) == 1
    assert estimate(make_stage(verdict="restore", bytes=400_000_000), tmp_path) == 3
    record(make_stage(bytes=400_000_000), "restored", 5, tmp_path, tmp_path)
    assert estimate(make_stage(verdict="restore", bytes=400_000_000), tmp_path) == 5
    assert estimate(make_stage(verdict="restore", bytes=600_000_000), tmp_path) == 6


def test_what_never_ran_here_has_no_estimate(tmp_path: Path) -> None:
    assert estimate(make_stage(), tmp_path) is None


def test_a_training_that_dvc_ran_by_itself_counts(tmp_path: Path) -> None:
    write_timing(tmp_path, seconds=30.0, epochs=3)
    assert estimate(make_stage(epochs=6, epochs_left=6), tmp_path) == 60 + START_S


def test_the_time_of_a_tree_is_noted_in_the_project(tmp_path: Path) -> None:
    write_timing(tmp_path / "tree", seconds=36.0, epochs=4)
    record(make_stage(epochs=4, epochs_left=4), "ran", 40, tmp_path, tmp_path / "tree")
    assert estimate(make_stage(epochs=1, epochs_left=1), tmp_path) == 13


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (130, "2 min"), (3600, "1 h"), (4300, "1 h 12 min")],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert describe(seconds) == words


def test_the_total_says_what_it_does_not_know(tmp_path: Path) -> None:
    record(make_stage(), "ran", 120, tmp_path, tmp_path)
    plan = [make_stage(), make_stage("train@b"), make_stage("train@c", "cached")]
    assert describe_total(plan, tmp_path) == (
        "2 of 3 stages run, about 2 min; 1 never ran here, so their time is unknown"
    )
    assert describe_total(plan[2:], tmp_path) == "Nothing runs"
    more = [make_stage("train@d", "restore"), make_stage("train@e", known=True)]
    assert describe_total([*plan[2:], *more], tmp_path) == (
        "1 of 3 stages run, about 2 s; 1 give what is known already; 1 come back from the cache"
    )


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
        record(stage, "ran", seconds[-1], new_toy, new_toy)
    assert seconds[1] == pytest.approx(seconds[0], rel=0.25)
    assert dvc(new_toy, "status", "fetch")
