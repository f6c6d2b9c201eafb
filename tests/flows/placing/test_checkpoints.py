"""Checkpoints go to the remote as epochs end, and to the next worker before its first epoch."""

from pathlib import Path

import pytest

from flows.placing import checkpoints
from flows.placing.checkpoints import FOLDER, bring, find_checkpoints, forget, send, travelling
from flows.placing.objects import open_store
from flows.placing.orders import Order
from flows.placing.shelves import Shelf
from flows.placing.worker import read_lock
from tests.flows.toy import dvc, wait_until
from vision.base.files import write_bytes, write_json

STAGE = "finetune-resnet@paper"


@pytest.fixture
def shared(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a remote; looks for epochs are not waited for."""
    dvc(toy, "remote", "add", "--default", "store", "../store")
    monkeypatch.chdir(toy)
    monkeypatch.setattr(checkpoints, "LOOK_S", 0.01)
    return toy


def train(place: Path, epochs: int) -> None:
    write_bytes(place.with_suffix(".pt"), b"state of epoch %d" % epochs)
    write_json(place.with_suffix(".json"), {"epochs": epochs})


def test_what_one_worker_has_of_a_training_another_goes_on_from(shared: Path) -> None:
    first, second = (shared / f"{name}/paper-seed-0-key" for name in ("first", "second"))
    for place in (first, second):
        place.parent.mkdir()
    told: list[str] = []
    with open_store(shared) as store:
        there = shared / "../store/checkpoints/paper-seed-0-key.json"
        with travelling(store, [first], told.append):
            train(first, 1)
            wait_until(there.exists, 10)
            train(first, 2)
        with travelling(store, [second], told.append):
            assert second.with_suffix(".pt").read_bytes() == b"state of epoch 2"
        assert told == ["another worker has got to epoch 2: paper-seed-0-key"]
        forget(store, [second], told.append)
    assert not [*there.parent.iterdir()]


def test_a_worker_that_is_further_keeps_its_own(shared: Path) -> None:
    place = shared / "paper-seed-0-key"
    train(place, 1)
    with open_store(shared) as store:
        shelf = Shelf(store, FOLDER)
        send(shelf, place)
        train(place, 3)
        assert not bring(shelf, place)
    assert place.with_suffix(".pt").read_bytes() == b"state of epoch 3"


def test_a_remote_that_is_away_ends_no_training(shared: Path) -> None:
    dvc(shared, "remote", "modify", "store", "url", "/dev/null/store")
    place, told = shared / "paper-seed-0-key", list[str]()
    with open_store(shared) as store, travelling(store, [place], told.append):
        train(place, 1)
    assert "checkpoints do not travel: the remote /dev/null/store" in told[-1]


@pytest.mark.slow
def test_the_checkpoints_are_those_that_the_training_looks_for(
    changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(changed)
    entry = read_lock(changed, STAGE)
    order = Order(stage=STAGE, reference="", commit="", entry=entry, held=[], packages="")
    [place] = find_checkpoints(order, Path(), Path())
    assert place.with_suffix(".pt").exists()
    order.force = True
    assert find_checkpoints(order, Path(), Path()) == []
