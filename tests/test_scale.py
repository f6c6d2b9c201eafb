"""The simulation of many workers gives by hand what a hand can compute; the costs are measured."""

import math
from dataclasses import replace

import pytest

from benchmarks.scale_costs import measure_bundle, measure_git, measure_queries
from benchmarks.scale_model import (
    GIT,
    REMOTE,
    SENDER,
    SERVER,
    Costs,
    Load,
    find_demands,
    find_limits,
    simulate,
)

FREE = Costs(push_s=0, push_per_ref_s=0, fetch_s=0, look_s=0, ask_s=0, write_s=0, query_s=0)
LOAD = Load(
    workers=10,
    images=100_000,
    images_per_stage=1_000,
    images_per_object=100,
    images_per_second=100.0,
    requests_per_second=1e12,
)


def test_workers_that_wait_for_nothing_take_as_long_as_their_stages() -> None:
    """100 stages of 10 s on 10 workers."""
    outcome = simulate(LOAD, FREE)
    assert outcome.ideal_s == 100
    assert outcome.seconds == pytest.approx(100)


def test_stages_that_take_turns_at_git_wait_for_each_other() -> None:
    """Two pushes of 2 s for each of 100 stages, one at a time; then the last computes for 10 s."""
    outcome = simulate(LOAD, replace(FREE, push_s=2.0))
    assert outcome.seconds == pytest.approx(100 * 4 + 10)
    assert outcome.busiest == GIT
    assert outcome.busy[GIT] == pytest.approx(400 / 410)


def test_fewer_stages_than_workers_are_not_dealt_out_twice() -> None:
    assert simulate(replace(LOAD, workers=1000), FREE).seconds == pytest.approx(10)


def test_a_server_is_kept_busy_by_as_many_workers_as_its_costs_allow() -> None:
    """A stage takes 25 changes of 20 ms each 10 s, and 2 looks a second of 25 ms: 0.05 + 0.05."""
    limits = find_limits(LOAD, replace(FREE, write_s=0.02, look_s=0.025))
    assert limits[SERVER] == pytest.approx(10, abs=1)
    assert limits[GIT] == math.inf
    assert min(limits, key=limits.__getitem__) == SERVER


def test_a_stage_that_reads_everything_asks_for_everything() -> None:
    costs, whole = replace(FREE, query_s=0.001), replace(LOAD, requests_per_second=100.0)
    own, everything = (
        find_demands(replace(whole, reads_all=each), costs) for each in (False, True)
    )
    assert own[SENDER] == pytest.approx(0.010)
    assert everything[SENDER] == pytest.approx(1.0)
    assert own[REMOTE] == pytest.approx((2 * 10 + 10 + 2) / 100)
    assert everything[REMOTE] == pytest.approx((2 * 1000 + 10 + 2) / 100)


def test_bundles_take_nothing_of_git_and_some_of_the_sender_and_the_remote() -> None:
    costs, load = replace(FREE, push_s=1.0, bundle_s=0.2), replace(LOAD, requests_per_second=1.0)
    pushed, bundled = (find_demands(replace(load, bundled=each), costs) for each in (False, True))
    assert (pushed[GIT], pushed[SENDER]) == (2, 0)
    assert (bundled[GIT], bundled[SENDER]) == (0, 0.2)
    assert bundled[REMOTE] - pushed[REMOTE] == load.bundle_requests


def test_polling_slows_down_what_has_to_be_written() -> None:
    costs = replace(FREE, write_s=0.002)
    quiet, polled = simulate(LOAD, costs), simulate(LOAD, replace(costs, look_s=0.04))
    assert polled.seconds > quiet.seconds
    assert polled.busy[SERVER] > quiet.busy[SERVER]


@pytest.mark.slow
def test_a_push_into_a_repository_of_many_references_is_measured() -> None:
    found = measure_git((0, 20))
    assert list(found) == [0, 20]
    assert all(0 < second < 60 for pair in found.values() for second in pair)


@pytest.mark.slow
def test_a_bundle_of_the_project_is_measured() -> None:
    size, *seconds = measure_bundle()
    assert size > 10_000
    assert all(0 < each < 60 for each in seconds)


@pytest.mark.slow
def test_questions_for_objects_are_measured() -> None:
    assert 0 < measure_queries(50) < 1
