"""End with the process that started this one: DVC, killed, would leave its stage running."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that Linux sends when the parent ends
POLL_S = 0.5


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Have this process get a signal when its parent ends, or at once if it has ended already."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=watch_parent, args=(parent, number), daemon=True).start()
    if os.getppid() != parent or is_orphan():
        os.kill(os.getpid(), number)


def watch_parent(parent: int, number: int) -> None:
    """Send this process a signal when `parent` is its parent no more."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), number)


def is_orphan() -> bool:
    """Say whether the parent is of another session: whoever started us in ours has ended."""
    try:
        return os.getsid(os.getppid()) != os.getsid(0)
    except OSError:  # another user's process: the one that takes orphans in
        return True
