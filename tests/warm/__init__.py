"""Commands that start at once, as the pipeline's tests need hundreds of them.

Python takes seconds to import torch, torchvision and scikit-learn. A server has done so once; each
command is a fork of it, which finds them imported and imports the project's own modules anew. In
all of them, and where a test starts Python with QUICK, networks are small and figures are sketches:
start/.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HERE = Path(__file__).parent
COMMANDS = ("dvc", "python")
# For the environment of a command:
QUICK = {"PYTHONPATH": str(HERE / "start")}
DIES = {"WARM_END": "SIGKILL"}  # what ends a warm command whose client is killed, not SIGTERM
SOCKET = "WARM_SOCKET"  # environment variable: of the server that is used
PID = "pid"  # the file beside the socket that has the server's
SHARED = "WARM_SHARED"  # environment variable: of one that pytest's workers share
START_S = 120.0


@contextmanager
def start_warm_commands(**environment: str) -> Iterator[None]:
    """Have `find_commands` name the commands that start at once.

    Args:
        environment: what Python reads as it starts, before there is a command.
    """
    with start_server(**environment) as path, use_server(path):
        yield


@contextmanager
def start_server(**environment: str) -> Iterator[str]:
    """Start what the commands are forks of, and yield the path of its socket: not there yet."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # short, as paths of sockets have to be
    client = f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}"
    for name in COMMANDS:
        (folder / name).write_text(client)
        (folder / name).chmod(0o755)
    path = str(folder / "socket")
    command = [sys.executable, "-m", "tests.warm.server", path]
    server = subprocess.Popen(command, cwd=HERE.parents[1], env=os.environ | QUICK | environment)
    (folder / PID).write_text(str(server.pid))
    try:
        yield path
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


@contextmanager
def use_server(path: str) -> Iterator[None]:
    """Have `find_commands` name the commands of a server, as soon as it is ready.

    Raises:
        ChildProcessError: it has ended.
        TimeoutError: it is not ready within minutes.
    """
    deadline = time.monotonic() + START_S
    pid = int(Path(path).with_name(PID).read_text())
    while not Path(path).exists():
        if not is_running(pid):
            raise ChildProcessError(f"the server of warm commands at {path} ended as it started")
        if time.monotonic() > deadline:
            raise TimeoutError(f"no warm commands at {path} after {START_S:.0f} s")
        time.sleep(0.05)
    others = os.environ.get(SOCKET)
    os.environ[SOCKET] = path
    try:
        yield
    finally:
        del os.environ[SOCKET]
        if others:
            os.environ[SOCKET] = others


def is_running(pid: int) -> bool:
    """Say whether a process runs; one that has ended stays known until its parent asks for it."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def find_commands() -> str:
    """Return a PATH whose `python` and `dvc` are the warm ones, or else those of this Python."""
    folders = [Path(os.environ[SOCKET]).parent] if SOCKET in os.environ else []
    return ":".join(map(str, [*folders, Path(sys.executable).parent, os.environ["PATH"]]))
