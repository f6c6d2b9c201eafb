"""Pull and push by hash: what is asked for, and nothing else."""

import shutil
from pathlib import Path

import pytest

from flows.placing.sharing import bring_results, send_results
from tests.flows.toy import dvc, git


@pytest.fixture
def pushed(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project, its results sent."""
    monkeypatch.chdir(toy)
    dvc(toy, "remote", "add", "--default", "store", "../store")
    assert send_results(toy) == sum(
        {out.read_text(): out.stat().st_size for out in list_outs(toy)}.values()
    )
    return toy


def list_outs(toy: Path) -> list[Path]:
    return [*toy.glob("*.txt")]


def forget(toy: Path) -> None:
    """Remove all results, and the cache."""
    shutil.rmtree(toy / ".dvc/cache")
    for out in list_outs(toy):
        out.unlink()


def list_runs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs").glob("*/*/*"))


def test_a_second_push_sends_nothing_and_each_stage_has_one_run_there(pushed: Path) -> None:
    assert send_results(pushed) == 0
    assert list_runs(pushed / "../store") == list_runs(pushed / ".dvc/cache")


def test_the_first_result_under_a_key_stands(pushed: Path) -> None:
    """DVC itself would take the newest, by chance of when a file was copied.

    The stage reads stage.py, which dvc.yaml does not list, and gives other bytes each time.
    """
    before = list_runs(pushed / "../store")
    (pushed / "stage.py").write_text(
        (pushed / "stage.py").read_text().replace("str(recipe)", "str(recipe) + str(began)")
    )
    dvc(pushed, "repro", "--single-item", "--force", "count@one")
    send_results(pushed)
    assert list_runs(pushed / "../store") == before


def test_a_pull_brings_what_a_plan_wants_and_no_other_run(pushed: Path) -> None:
    (pushed / "params.yaml").write_text(
        (pushed / "params.yaml").read_text().replace("seconds: 0", "seconds: 0.01")
    )
    dvc(pushed, "repro", "--quiet")
    send_results(pushed)
    git(pushed, "checkout", "--quiet", "--", "params.yaml", "dvc.lock")
    forget(pushed)
    plan = bring_results(pushed, ["report"])
    assert {stage.name: stage.verdict for stage in plan} == {
        "fetch": "restore",
        "train@slow": "restore",
        "train@quick": "restore",
        "report": "restore",
    }
    dvc(pushed, "repro", "report")
    assert not (pushed / "count-one.txt").exists()
    cached = [path for path in (pushed / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert len(cached) == len({(pushed / out).read_text() for out in list_outs(pushed)})


def test_a_pull_without_a_lock_file_finds_the_runs_by_their_keys(pushed: Path) -> None:
    forget(pushed)
    (pushed / "dvc.lock").unlink()
    (pushed / "times.jsonl").unlink()
    assert {stage.verdict for stage in bring_results(pushed)} == {"restore"}
    dvc(pushed, "repro")
    assert not (pushed / "times.jsonl").exists()


def test_what_dvc_add_holds_travels_too(pushed: Path) -> None:
    (pushed / "photos").mkdir()
    (pushed / "photos/1").write_text("one")
    dvc(pushed, "add", "photos")
    assert send_results(pushed) > 3  # the list of the folder, and its file
    forget(pushed)
    shutil.rmtree(pushed / "photos")
    bring_results(pushed)
    assert (pushed / "photos/1").read_text() == "one"
