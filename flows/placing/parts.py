"""What workers have decoded of a data set in several archives, in the folder of DVC's remote.

checkpoints/PART/pixels, rows, listing.json    PART names the part by all that decides what is
                                               decoded, alike on all machines: vision/data/parts.py
"""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from flows.engine.patience import Tell, insist
from flows.orchestration.stopping import find_stop
from flows.placing.checkpoints import FOLDER
from flows.placing.entries import Entry, list_deps
from flows.placing.objects import Store
from flows.placing.orders import Order
from flows.placing.shelves import Shelf
from vision.base.errors import PipelineError
from vision.base.params import PARAMS_FILE, read_params
from vision.base.sections import check_section
from vision.data.described import Part, list_parts
from vision.data.parts import FILES, LISTING, digest_code, find_kept, name_part, read_listing
from vision.schema.data import DataParams

STAGE = "download"  # which joins the parts


def find_parts(stage: str, tree: Path) -> list[Part]:
    """Return the parts of the source that a stage downloads, if it does and there are some.

    The params of another project, without `models`, are not looked at.
    """
    known = stage == STAGE and "models" in read_params(tree / PARAMS_FILE)
    return list_parts(_read_data(tree), tree) if known else []


def name_parts(parts: Sequence[Part], entry: Entry, tree: Path) -> dict[int, str]:
    """Return under what name each part is kept, by its number.

    Args:
        entry: of the stage, with its deps.
    """
    params, code = _read_data(tree), digest_code(list_deps(entry), tree)
    return {part.number: name_part(part, params, code) for part in parts}


def _read_data(tree: Path) -> DataParams:
    return check_section("data", read_params(tree / PARAMS_FILE).get("data"), DataParams)


class PartShelf(Shelf):
    """The folder of a remote in which parts lie."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, FOLDER)

    def has(self, name: str) -> bool:
        return self.is_there(f"{name}/{LISTING}")

    def bring(self, place: Path) -> bool:
        """Fetch a part that is not here, and say whether it has come."""
        if read_listing(place) or not self.has(place.name):
            return False
        for file in FILES:
            self.get(f"{place.name}/{file}", place / file)
        return True

    def send(self, place: Path) -> None:
        """Send a part; its listing, by which it is found, comes last."""
        for file in FILES:
            self.put(place / file, f"{place.name}/{file}")

    def drop_others(self, names: Collection[str]) -> None:
        """Remove what the archives of these parts gave with other params or code."""
        archives = {name.rpartition("-")[0] for name in names}
        for name in self.list():
            if name.rpartition("-")[0] in archives and name not in names:
                self.drop(name)


def bring_parts(store: Store, order: Order, tree: Path, tell: Tell) -> None:
    """Fetch what others have decoded of a stage's source, for the stage to find."""
    if order.force or not (parts := find_parts(order.stage, tree)):
        return
    shelf, names = PartShelf(store), name_parts(parts, order.entry, tree).values()
    places = filter(None, map(find_kept, names))
    come = sum([insist(partial(shelf.bring, place), find_stop(), tell) for place in places])
    tell(f"{come} of {len(parts)} parts came from other workers")


def drop_others(store: Store, order: Order, tree: Path, tell: Tell) -> None:
    """Remove from the remote what the archives of a source gave with other params or code."""
    if order.force or not (parts := find_parts(order.stage, tree)):
        return
    try:
        PartShelf(store).drop_others(name_parts(parts, order.entry, tree).values())
    except PipelineError as error:
        tell(f"older parts stay: {error}")
