"""What `pipeline doctor` says."""

from collections.abc import Callable
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    kind: Literal["ok", "bad", "note"]  # only `bad` would stop a run
    text: str


def good(text: str) -> Finding:
    return Finding("ok", text)


def bad(text: str) -> Finding:
    return Finding("bad", text)


def note(text: str) -> Finding:
    return Finding("note", text)


def mend(fix: bool, step: Callable[[], object], mended: str, broken: str) -> Finding:
    """Mend what is broken and say so, if it is to be; or else say how to.

    Args:
        step: mends it.
    """
    if not fix:
        return bad(broken)
    step()
    return good(mended)
