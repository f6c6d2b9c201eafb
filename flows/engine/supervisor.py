"""Run a command so that nothing of it outlives the one who asked for it.

Run: python -m flows.engine.supervisor COMMAND ARGUMENT...

DVC, told to end, leaves its stage running. This process leads a process group of its own with the
command in it. When it is told to end, or when the thread that started it dies, it interrupts the
group, as Ctrl-C would, so that DVC gives back its locks; what is left after a while is killed, and
what DVC then left in the file of its locks is removed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 10.0
PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    os.setsid()
    _end_with_parent()
    stopped: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    child = subprocess.Popen(command)
    while child.poll() is None and not stopped:
        time.sleep(0.05)
    if stopped:
        os.killpg(0, signal.SIGINT)
        deadline = time.monotonic() + GRACE_S
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    status = child.poll()
    with _spared(signal.SIGTERM):
        os.killpg(0, signal.SIGTERM)  # a stage that its shell left behind
    if status is None:
        os.killpg(0, signal.SIGKILL)  # this process as well: the next run mends the locks
    if stopped:
        from flows.engine.rwlock import mend_rwlock  # here, as it loads DVC

        mend_rwlock()
    return 128 + stopped[0] if stopped else status or 0


@contextmanager
def _spared(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    yield
    signal.signal(number, before)


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the starting thread ends; elsewhere there is no such thing."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
