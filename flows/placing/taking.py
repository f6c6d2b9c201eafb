"""Take a worker's answer in: what is not what was asked for is refused, and leaves no trace."""

from flows.placing.entries import Entry, Runs, list_outs
from flows.placing.objects import HASH, RefusedError, Store
from flows.placing.orders import Answer, check_same


def take_in(store: Store, asked: Entry, answer: Answer) -> int:
    """Fetch the outs that an answer names and let DVC's run cache know them.

    DVC's own `repro` then restores them, under its own locks.

    Returns:
        The bytes that came.

    Raises:
        RefusedError: the answer is to another question, or names what the remote does not have.
    """
    check_same(asked, answer.entry)
    for out in answer.entry["outs"]:
        if not HASH.fullmatch(str(out.get("md5"))):
            raise RefusedError(f"{out['path']} has no hash, but {out.get('md5')!r}")
    moved = store.pull(list_outs(answer.entry))
    Runs(store).keep(answer.entry)
    return moved
