"""The commands that start at once come from a server that may fail to start."""

import subprocess
from pathlib import Path

import pytest

from tests.warm import PID, use_server


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_server_that_ended_as_it_started_is_noticed(tmp_path: Path, is_asked_for: bool) -> None:
    """Also one whose parent, another process, has not asked yet how it ended."""
    with subprocess.Popen(["true"]) as server:
        if is_asked_for:
            server.wait()
        (tmp_path / PID).write_text(str(server.pid))
        socket = str(tmp_path / "socket")
        with pytest.raises(ChildProcessError, match="ended as it started"), use_server(socket):
            pass
