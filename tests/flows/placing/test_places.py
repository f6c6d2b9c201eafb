import os
import threading
from pathlib import Path

import pytest

from flows.engine.plan import PlannedStage, Verdict, make_plan
from flows.placing.foreseen import describe_bytes, describe_moves
from flows.placing.gpus import COUNT, VISIBLE, hold_gpu, list_gpus
from flows.placing.places import check_places, find_pool, place_stages, rename_placed
from tests.flows.toy import dvc
from vision.base.errors import ParamsError


def make_stage(name: str, pool: str = "", verdict: Verdict = "run") -> PlannedStage:
    return PlannedStage(name, verdict, (), (), {"pool": pool} if pool else {})


@pytest.mark.parametrize(
    ("stage", "places", "pool"),
    [
        (make_stage("train@slow"), {}, ""),
        (make_stage("train@slow", "gpu"), {}, "gpu"),
        (make_stage("train@slow", "gpu"), {"train": "home"}, ""),
        (make_stage("train@slow"), {"train": "gpu"}, "gpu"),
        (make_stage("train@slow"), {"train": "gpu", "train@slow": "large"}, "large"),
        (make_stage("train@slow"), {"train@quick": "gpu"}, ""),
    ],
)
def test_the_command_line_goes_before_dvc_yaml_and_a_member_before_its_matrix(
    stage: PlannedStage, places: dict[str, str], pool: str
) -> None:
    assert find_pool(stage, places) == pool


def test_only_stages_that_may_run_are_placed_and_have_the_times_of_their_pool() -> None:
    verdicts: list[Verdict] = ["cached", "restore", "run", "maybe"]
    plan = [make_stage(verdict, "gpu", verdict) for verdict in verdicts]
    pools = place_stages(plan, {})
    assert pools == {"run": "gpu", "maybe": "gpu"}
    names = [stage.name for stage in rename_placed(plan, pools)]
    assert names == ["cached", "restore", "run in gpu", "maybe in gpu"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "--place 'train' names no stage and pool"),
        ("=gpu", "STAGE=POOL, or STAGE=home"),
        ("train=a/b", "names no stage and pool"),
        ("trai=gpu", "there is no stage 'trai'"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(fresh: Path, text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_places([text], fresh)


def test_a_plan_says_what_would_move(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy)
    dvc(toy, "remote", "add", "--default", "store", "../store")
    plan = make_plan(overrides={"report.seconds": 1, "recipes.slow.seconds": 1})
    pools = place_stages(plan, {"train@slow": "gpu", "report": "gpu"})
    sizes = [(toy / name).stat().st_size for name in ("fetch.txt", "train-slow.txt")]
    assert [*describe_moves(plan, pools)] == [
        "the code goes in a bundle beside the objects in DVC's remote (git has no remote origin to "
        "carry code by: git remote add origin URL)",
        f"train@slow in gpu: {sizes[0]} B to send, some {sizes[1]} B, as last time, to receive",
        "report in gpu: what goes is known when train@slow has run",
    ]


def test_bytes_are_written_as_people_say_them() -> None:
    assert [describe_bytes(count) for count in (0, 999, 1000, 44_800_000, 2.5e13)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "44.8 MB",
        "25.0 TB",
    ]


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(COUNT, "2")
    monkeypatch.delenv(VISIBLE, raising=False)


@pytest.mark.usefixtures("two_gpus")
def test_each_stage_sees_one_gpu_that_no_other_has_and_a_third_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stages have processes of their own: none sees what another was dealt."""
    stop, told = threading.Event(), list[str]()

    def tell(words: str) -> None:
        told.append(words)
        stop.set()

    with hold_gpu(["gpu"], stop, tell) as first:
        assert (first, os.environ.get(VISIBLE)) == ("0", "0")
        monkeypatch.delenv(VISIBLE)
        with hold_gpu(["gpu"], stop, tell) as second:
            assert (second, os.environ.get(VISIBLE)) == ("1", "1")
            monkeypatch.delenv(VISIBLE)
            with hold_gpu(["gpu"], stop, tell) as third:
                assert third is None
    assert told == ["waits for one of 2 GPUs of this machine"]
    assert VISIBLE not in os.environ


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_dealt_out_of_those_that_a_worker_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "4,7")
    assert list_gpus() == ["4", "7"]
    with hold_gpu(["gpu"], threading.Event(), print):
        assert os.environ[VISIBLE] == "4"
    assert os.environ[VISIBLE] == "4,7"
    with hold_gpu(["network"], threading.Event(), print) as none:
        assert none is None
    monkeypatch.delenv(COUNT)
    assert list_gpus() == []
