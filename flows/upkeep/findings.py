"""What `pipeline doctor` says."""

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
