"""Checkpoints that travel: another worker goes on where one stopped.

checkpoints/NAME-seed-SEED-KEY.pt, .json    in the folder of DVC's remote; KEY is of all that
                                            decides the training: see vision/base/kept.py
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from flows.engine.patience import Tell
from flows.engine.work import count_epochs, find_inputs, list_checkpoints
from flows.placing.entries import list_deps
from flows.placing.objects import Store
from flows.placing.orders import Order
from flows.placing.shelves import Shelf
from vision.base.errors import PipelineError
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
    shelf, ended = Shelf(store, FOLDER), threading.Event()
    for place in places:
        _try(partial(_bring, shelf, place, tell), tell)
    sent = {place: count_epochs(place) for place in places}
    sender = threading.Thread(target=_send_each, args=(shelf, sent, ended, tell), daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join(PATIENCE_S)


def forget(store: Store, places: Sequence[Path], tell: Tell) -> None:
    """Remove from the remote what a training that has ended no longer needs."""
    for place in places:
        _try(partial(drop, Shelf(store, FOLDER), place), tell)


def _bring(shelf: Shelf, place: Path, tell: Tell) -> None:
    if bring(shelf, place):
        tell(f"another worker has got to epoch {count_epochs(place)}: {place.name}")


def _send_each(shelf: Shelf, sent: dict[Path, int], ended: threading.Event, tell: Tell) -> None:
    """Send each checkpoint that has more epochs than before, until told to end, and once more.

    Args:
        sent: epochs of each that need not be sent; is kept up.
    """
    once, is_last = _once(tell), False
    while not is_last:
        is_last = ended.wait(LOOK_S)
        for place in sent:
            epochs = count_epochs(place)
            if epochs > sent[place] and _try(partial(send, shelf, place), once):
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


def bring(shelf: Shelf, place: Path) -> bool:
    """Fetch a checkpoint that has more epochs than the one that is here; say whether so."""
    notes = shelf.read(place.with_suffix(NOTES).name)
    if notes is None or json.loads(notes)["epochs"] <= count_epochs(place):
        return False
    for path in _list_files(place):
        shelf.get(path.name, path)
    return True


def send(shelf: Shelf, place: Path) -> None:
    """Send a checkpoint, whole or not at all, in place of an older one."""
    for path in _list_files(place):
        shelf.put(path, path.name)


def drop(shelf: Shelf, place: Path) -> None:
    """Remove a checkpoint: first its notes, without which no one looks for the rest."""
    for path in reversed(_list_files(place)):
        shelf.drop(path.name)


def _list_files(place: Path) -> list[Path]:
    """Return the files of a checkpoint in the order in which they come to be."""
    return [place.with_suffix(suffix) for suffix in (STATE, NOTES)]
