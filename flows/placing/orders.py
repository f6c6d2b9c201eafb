"""What a sender asks of a worker, and what it is answered: small, and of plain JSON."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.engine.repro import Outcome
from flows.placing.entries import Entry, list_deps
from flows.placing.objects import RefusedError

ANSWER = "answer"  # key of the artifact that holds it
LINES = "stage"  # logger of what the stage itself says
LOCK = Path("requirements.lock")  # of the packages that a clone is installed with


class Order(BaseModel):
    """
    Attributes:
        reference, commit: where git's remote has the tree,
        bundled: or a bundle beside the objects in DVC's.
        entry: the stage as dvc.lock would have it, but for the hashes of its outs.
        held: the paths of its deps that DVC holds; git holds the others.
        packages: the hash of the lock file that the sender is installed from.
        tags: of which the worker takes slots.
        part: of the source, where it alone is to be decoded; 0: the whole stage is to run.
    """

    stage: str
    reference: str
    commit: str
    bundled: bool = False
    entry: dict[str, Any]
    held: list[str]
    packages: str
    tags: list[str] = []
    force: bool = False
    timeout_s: float | None = None
    memory: str = ""
    part: int = 0

    @property
    def title(self) -> str:
        return f"{self.stage} part {self.part}" if self.part else self.stage


class Answer(BaseModel):
    """
    Attributes:
        entry: of the stage, as the worker's dvc.lock has it; of a part, nothing.
        seconds: of the stage alone.
        steps: seconds of all that the worker did, by what.
        received, sent: bytes that the worker had to move.
        machine: device, torch and threads; see environment.describe_here.
    """

    entry: dict[str, Any]
    outcome: Outcome
    seconds: float
    steps: dict[str, float]
    received: int
    sent: int
    host: str
    machine: dict[str, Any]


def hash_packages(root: Path = Path()) -> str:
    """Return the hash of a project's lock file of packages; nothing if it has none."""
    path = root / LOCK
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def check_same(asked: Entry, found: Entry) -> None:
    """See that two entries are of one stage with one command, params, deps and outs.

    Raises:
        RefusedError: they are not, with the first differences.
    """
    if differing := list(_compare(asked, found)):
        raise RefusedError("; ".join(differing[:3]))


def _compare(asked: Entry, found: Entry) -> Iterator[str]:
    if asked["cmd"] != found.get("cmd"):
        yield f"its command is {found.get('cmd')!r}, not {asked['cmd']!r}"
    if _simplify(asked.get("params")) != _simplify(found.get("params")):
        yield "its params are others"
    ours, theirs = list_deps(asked), list_deps(found)
    for path in dict.fromkeys([*ours, *theirs]):
        if ours.get(path) != theirs.get(path):
            yield f"{path} is {theirs.get(path) or 'missing'}, not {ours.get(path) or 'missing'}"
    if [out["path"] for out in asked["outs"]] != [out["path"] for out in found.get("outs", [])]:
        yield "its outs are others"


def _simplify(params: Any) -> Any:
    return {file: dict(values) for file, values in (params or {}).items()}
