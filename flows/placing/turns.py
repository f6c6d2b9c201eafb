"""Things of this machine that one may have at a time: its GPUs, and places to decode parts.

Whoever has one holds its lock, which goes with the process; other clones see it, too.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

LOOK_S = 1.0


def wait_for_one(
    kind: str, numbers: Sequence[str], stop: threading.Event, tell: Callable[[str], None]
) -> FileLock | None:
    """Return the lock of one of some things of this machine, when one is free.

    None, where `stop` is set before.
    """
    folder = Path(tempfile.gettempdir()) / f"pipeline-{kind.lower()}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    told = False
    while not stop.is_set():
        for number in numbers:
            lock = FileLock(folder / f"{number}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            return lock
        if not told:
            tell(f"waits for one of {len(numbers)} {kind} of this machine")
        told = True
        stop.wait(LOOK_S)
    return None
