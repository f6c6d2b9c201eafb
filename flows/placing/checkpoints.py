"""Checkpoints that travel: another worker goes on where one stopped.

checkpoints/NAME-seed-SEED-KEY.pt, .json    in the folder of DVC's remote; KEY is of all that
                                            decides the training: see vision/base/kept.py
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from flows.engine.patience import Tell
from flows.engine.work import count_epochs, find_inputs, list_checkpoints
from flows.placing.objects import Store, list_deps
from flows.placing.orders import Order
from vision.base.errors import PipelineError
from vision.base.files import replacing
from vision.base.params import PARAMS_FILE, read_params

FOLDER = "checkpoints"
STATE, NOTES = ".pt", ".json"
LOOK_S = 2.0  # between looks for another epoch
PATIENCE_S = 60.0  # with what is being sent when a stage has failed


def find_checkpoints(order: Order, tree: Path, root: Path) -> list[Path]:
    """Return where the training that is asked for keeps its checkpoints, in a worker's project."""
    if order.force:
        return []
    settings = (order.entry.get("params") or {}).get(PARAMS_FILE.name, {})
    inputs = find_inputs(list_deps(order.entry), tree)
    return list_checkpoints(order.stage, settings, read_params(tree / PARAMS_FILE), inputs, root)


@contextmanager
def travelling(store: Store, places: Sequence[Path], tell: Tell) -> Iterator[None]:
    """Bring what other workers have of a training, and send what is added while the block lasts.

    A thread sends the newest checkpoint, one at a time: an epoch that ends meanwhile replaces those
    before it. That the remote is away ends no training.
    """
    if not places:
        yield
        return
    shelf, ended = Shelf(store), threading.Event()
    for place in places:
        _try(partial(_bring, shelf, place, tell), tell)
    sender = threading.Thread(target=_send_each, args=(shelf, places, ended, tell), daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join(PATIENCE_S)


def forget(store: Store, places: Sequence[Path], tell: Tell) -> None:
    """Remove from the remote what a training that has ended no longer needs."""
    for place in places:
        _try(partial(Shelf(store).drop, place), tell)


def _bring(shelf: "Shelf", place: Path, tell: Tell) -> None:
    if shelf.bring(place):
        tell(f"another worker has got to epoch {count_epochs(place)}: {place.name}")


def _send_each(shelf: "Shelf", places: Sequence[Path], ended: threading.Event, tell: Tell) -> None:
    """Send each checkpoint that has more epochs than before, until told to end, and once more."""
    sent = {place: count_epochs(place) for place in places}
    once, is_last = _once(tell), False
    while not is_last:
        is_last = ended.wait(LOOK_S)
        for place in places:
            epochs = count_epochs(place)
            if epochs > sent[place] and _try(partial(shelf.send, place), once):
                sent[place] = epochs


def _try(step: Callable[[], object], tell: Tell) -> bool:
    """Say whether a step has gone well, and tell what has not."""
    try:
        step()
    except PipelineError as error:
        tell(f"checkpoints do not travel: {error}")
        return False
    return True


def _once(tell: Tell) -> Tell:
    """Return what tells the same but once."""
    told: set[str] = set()

    def tell_new(words: str) -> None:
        if words not in told:
            told.add(words)
            tell(words)

    return tell_new


class Shelf:
    """The folder of a remote in which checkpoints lie."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = self.fs.join(store.find_top(), FOLDER)

    @property
    def fs(self) -> Any:
        """The remote's file system, another one after the connection broke off."""
        return self.store.remote.fs

    def bring(self, place: Path) -> bool:
        """Fetch a checkpoint that has more epochs than the one that is here; say whether so."""
        with self.store.reaching():
            notes = self._find(place, NOTES)
            if not self.fs.exists(notes):
                return False
            there = json.loads(self.fs.read_text(notes))["epochs"]
            if there <= count_epochs(place):
                return False
            for suffix in (STATE, NOTES):
                with replacing(place.with_suffix(suffix)) as unfinished:
                    self.fs.get_file(self._find(place, suffix), str(unfinished))
        return True

    def send(self, place: Path) -> None:
        """Send a checkpoint, whole or not at all, in place of an older one."""
        with self.store.reaching():
            self.fs.makedirs(self.folder, exist_ok=True)
            for suffix in (STATE, NOTES):
                unfinished = f"{self._find(place, suffix)}.{os.getpid()}.tmp"
                self.fs.put_file(str(place.with_suffix(suffix)), unfinished)
                self.fs.move(unfinished, self._find(place, suffix))

    def drop(self, place: Path) -> None:
        with self.store.reaching():
            for suffix in (NOTES, STATE):
                if self.fs.exists(self._find(place, suffix)):
                    self.fs.remove(self._find(place, suffix))

    def _find(self, place: Path, suffix: str) -> str:
        return str(self.fs.join(self.folder, place.with_suffix(suffix).name))
