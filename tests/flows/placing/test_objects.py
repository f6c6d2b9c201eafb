"""What moves between a cache and a remote, and what is taken in: by hash, and nothing else."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.engine import patience
from flows.engine.patience import insist
from flows.placing.entries import find_key, forget, list_deps, read_stage
from flows.placing.objects import RefusedError, Store, open_store
from flows.placing.orders import Answer, check_same, hash_packages
from flows.placing.taking import take_in
from flows.placing.worker import read_lock
from tests.flows.toy import dvc
from vision.base.errors import PipelineError

STAGE = "report"


@pytest.fixture
def project(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project with every stage run, and an empty remote."""
    dvc(toy, "remote", "add", "--default", "store", "../store")
    monkeypatch.chdir(toy)
    return toy


def make_answer(project: Path, **changes: Any) -> Answer:
    """Return what a worker would answer that has run the report."""
    with open_store(project) as store:
        entry = dict(read_stage(store, STAGE).entry)
        entry["outs"] = [{"path": "report.txt", "hash": "md5", "md5": hash_out(store)}]
        store.push([hash_out(store)])
    entry |= changes
    nothing: dict[str, Any] = {"steps": {}, "received": 0, "sent": 0, "host": "", "machine": {}}
    return Answer(entry=entry, outcome="ran", seconds=1, **nothing)


def hash_out(store: Store) -> str:
    stage = next(each for each in store.repo.index.stages if each.name == STAGE)
    return str(stage.outs[0].hash_info.value)


def find_object(folder: Path, digest: str) -> Path:
    return folder / "files/md5" / digest[:2] / digest[2:]


def test_what_a_stage_reads_goes_once_and_its_bytes_are_counted(project: Path) -> None:
    with open_store(project) as store:
        reading = read_stage(store, STAGE)
        hashes = [list_deps(reading.entry)[path] for path in reading.held]
        assert reading.held == ["train-slow.txt", "train-quick.txt"]
        assert reading.bytes == (project / "report.txt").stat().st_size
        size = (project / "train-slow.txt").stat().st_size  # both hold the same
        assert (store.count_missing(hashes), store.push(hashes)) == (size, size)
        assert (store.count_missing(hashes), store.push(hashes)) == (0, 0)
    stored = [path for path in (project / "../store").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in stored] == [size]


def test_a_folder_or_a_part_of_one_goes_with_its_files(project: Path) -> None:
    """A dep may be a part of an out, as data/raw/images is of data/raw."""
    (project / "stage.py").write_text(
        "import os; os.makedirs('raw/images'); open('raw/images/0', 'w').write('zero');"
        "open('raw/labels', 'w').write('none')"
    )
    (project / "dvc.yaml").write_text(
        "stages:\n"
        "  make: {cmd: python stage.py, deps: [stage.py], outs: [raw]}\n"
        "  use: {cmd: cp raw/images/0 used, deps: [raw/images], outs: [used]}\n"
    )
    dvc(project, "repro")
    with open_store(project) as store:
        reading = read_stage(store, "use")
        [digest] = list_deps(reading.entry).values()
        assert digest.endswith(".dir")
        store.push([digest])
    shutil.rmtree(project / ".dvc/cache")
    with open_store(project) as store:
        store.pull([digest])
        store.check_out(project / "there", digest)
    assert (project / "there/0").read_text() == "zero"
    assert len([path for path in (project / "../store").rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("place", ["../0", "/tmp/0", "a/../../0"])
def test_a_folder_that_lists_what_is_not_in_it_is_refused(project: Path, place: str) -> None:
    content = json.dumps([{"md5": "0" * 32, "relpath": place}]).encode()
    digest = f"{hashlib.md5(content).hexdigest()}.dir"
    path = find_object(project / "../store", digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with open_store(project) as store, pytest.raises(RefusedError, match="is no file in it"):
        store.pull([digest])


def test_a_key_is_the_one_under_which_dvc_keeps_the_run(project: Path) -> None:
    """Also of several outs, which dvc.lock has in another order than dvc.yaml."""
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        f"{text}  two: {{cmd: touch b a, deps: [stage.py], outs: [b, a]}}\n"
    )
    dvc(project, "repro", "two")
    for name in (STAGE, "two"):
        with open_store(project) as store:
            reading = read_stage(store, name)
        key = find_key(reading.entry)
        assert (project / ".dvc/cache/runs" / key[:2] / key).is_dir()
        check_same(reading.entry, read_lock(project, name))


def test_what_is_taken_in_is_restored_by_dvc_without_running(project: Path) -> None:
    answer = make_answer(project)
    shutil.rmtree(project / ".dvc/cache/runs")
    (project / "report.txt").unlink()
    (project / "dvc.lock").unlink()
    find_object(project / ".dvc/cache", answer.entry["outs"][0]["md5"]).unlink()
    with open_store(project) as store:
        assert take_in(store, read_stage(store, STAGE).entry, answer) == 14
    assert "is cached - skipping run" in dvc(project, "repro", "--single-item", STAGE)
    assert (project / "report.txt").read_text() == "{'seconds': 0}"


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_text("{'seconds': 9}")


@pytest.mark.parametrize("spoil", [damage, Path.unlink])
def test_an_object_with_other_bytes_or_none_is_refused_and_leaves_no_trace(
    project: Path, spoil: Callable[[Path], None]
) -> None:
    answer = make_answer(project)
    digest = answer.entry["outs"][0]["md5"]
    find_object(project / ".dvc/cache", digest).unlink()
    shutil.rmtree(project / ".dvc/cache/runs")
    spoil(find_object(project / "../store", digest))
    with open_store(project) as store, pytest.raises(RefusedError, match=digest):
        take_in(store, read_stage(store, STAGE).entry, answer)
    assert not find_object(project / ".dvc/cache", digest).exists()
    assert not (project / ".dvc/cache/runs").exists()


LIES: dict[str, dict[str, Any]] = {
    "its command is 'true'": {"cmd": "true"},
    "its params are others": {"params": {"params.yaml": {"report": {"seconds": 1}}}},
    "train-quick.txt is missing": {"deps": []},
    "its outs are others": {"outs": [{"path": "fetch.txt", "md5": "0" * 32}]},
    "report.txt has no hash": {"outs": [{"path": "report.txt", "md5": "../../../x"}]},
}


@pytest.mark.parametrize(("why", "lie"), LIES.items(), ids=LIES)
def test_an_answer_to_another_question_is_refused(
    project: Path, why: str, lie: dict[str, Any]
) -> None:
    answer = make_answer(project, **lie)
    shutil.rmtree(project / ".dvc/cache/runs")
    with open_store(project) as store, pytest.raises(RefusedError, match=why):
        take_in(store, read_stage(store, STAGE).entry, answer)
    assert not (project / ".dvc/cache/runs").exists()


def test_packages_are_those_of_the_lock_file(workspace: Path) -> None:
    assert hash_packages() == ""
    (workspace / "requirements.lock").write_text("torch==2\n")
    assert len(hash_packages()) == 64


def test_without_a_remote_the_way_out_is_said(toy: Path) -> None:
    with (
        pytest.raises(PipelineError, match="dvc remote add --default"),
        open_store(toy),
    ):
        pass


def test_a_remote_that_can_be_no_folder_is_not_waited_for(project: Path) -> None:
    dvc(project, "remote", "modify", "store", "url", "/dev/null/store")
    with (
        open_store(project) as store,
        pytest.raises(PipelineError, match="the remote /dev/null/store cannot be a folder") as told,
    ):
        insist(lambda: store.push([hash_out(store)]), threading.Event())
    assert not isinstance(told.value, patience.AwayError)


def test_a_stage_that_is_forgotten_takes_the_newest_of_its_runs(project: Path) -> None:
    """As after a forced run elsewhere that gave other bytes."""
    answer = make_answer(project)
    digest = hashlib.md5(b"forced").hexdigest()
    path = find_object(project / "../store", digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"forced")
    answer.entry["outs"][0] |= {"md5": digest, "size": 6}
    with open_store(project) as store:
        reading = read_stage(store, STAGE)
        take_in(store, reading.entry, answer)
        forget(store, reading.stage)
    dvc(project, "repro", "--single-item", STAGE)
    assert (project / "report.txt").read_text() == "forced"


def test_what_a_remote_did_not_take_is_sent_when_it_is_there_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "RETRY_S", 0.01)
    in_the_way, told = project / "../store", list[str]()
    in_the_way.symlink_to(in_the_way.name)  # to itself: there is nothing behind it for now

    def tell(words: str) -> None:
        told.append(words)
        in_the_way.unlink()

    with open_store(project) as store:
        digest = hash_out(store)
        assert insist(lambda: store.push([digest]), threading.Event(), tell) == 14
    [words] = told
    assert words.startswith("the remote /") or "did not take" in words


def test_a_full_disk_is_named_with_what_makes_room(project: Path, small_disk: Path) -> None:
    (project / "big").write_bytes(os.urandom(10**6))
    dvc(project, "add", "--quiet", "big")
    [out] = yaml.safe_load((project / "big.dvc").read_text())["outs"]
    with open_store(project) as store:
        store.push([out["md5"]])
    dvc(project, "cache", "dir", "--local", str(small_disk))
    with (
        open_store(project) as store,
        pytest.raises(PipelineError, match=f"{small_disk}/files/md5 has no room left: dvc gc"),
    ):
        store.pull([out["md5"]])
    assert not find_object(small_disk, out["md5"]).exists()
