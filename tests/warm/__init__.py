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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = ("dvc", "python")
# For the environment of a command:
QUICK = {"PYTHONPATH": str(HERE / "start")}
DIES = {"WARM_END": "SIGKILL"}  # what ends a warm command whose client is killed, not SIGTERM
SOCKET = "WARM_SOCKET"  # environment variable


@contextmanager
def start_warm_commands(**environment: str) -> Iterator[None]:
    """Have `find_commands` name the commands that start at once.

    Args:
        environment: what Python reads as it starts, before there is a command.
    """
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # short, as paths of sockets have to be
    client = f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}"
    for name in COMMANDS:
        (folder / name).write_text(client)
        (folder / name).chmod(0o755)
    others = os.environ.get(SOCKET)
    os.environ[SOCKET] = str(folder / "socket")
    command = [sys.executable, "-m", "tests.warm.server", os.environ[SOCKET]]
    server = subprocess.Popen(
        command, cwd=HERE.parents[1], env=os.environ | QUICK | environment, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        yield
    finally:
        server.kill()
        server.communicate()
        shutil.rmtree(folder)
        del os.environ[SOCKET]
        if others:
            os.environ[SOCKET] = others


def find_commands() -> str:
    """Return a PATH whose `python` and `dvc` are the warm ones, or else those of this Python."""
    folders = [Path(os.environ[SOCKET]).parent] if SOCKET in os.environ else []
    return ":".join(map(str, [*folders, Path(sys.executable).parent, os.environ["PATH"]]))
