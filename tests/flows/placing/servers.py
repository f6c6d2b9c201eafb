"""Real servers on loopback that hold a remote of DVC's: S3 and SSH. They can be killed."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import asyncssh
import psutil

from tests.flows.toy import dvc, git, wait_until
from tests.projects import ROOT
from tests.skips import skip_without
from vision.base.death_signal import end_with_parent

REMOTE = "store"
KEY, SECRET = "known-to-the-server", "not-to-be-found"
CLOSED = re.compile(r"close \".*\" bytes read (\d+) written (\d+)")  # in sshd's log


class Server(ABC):
    """
    Attributes:
        folder: what it keeps.
        settings: of DVC's remote, for all clones.
        secrets: and for those that may use it.
    """

    kind: ClassVar[str]
    settings: dict[str, str]
    secrets: dict[str, str]

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, find_port()
        folder.mkdir()

    @abstractmethod
    def make_command(self) -> list[str]:
        """Return what starts it in the foreground."""

    @abstractmethod
    def count_moved(self) -> tuple[int, int]:
        """Return how many bytes of objects it says to have received and sent."""

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                self.make_command(), cwd=ROOT, stdout=log, stderr=log, preexec_fn=end_with_parent
            )
        wait_until(self._answers)

    def kill(self) -> None:
        """Kill it with all that serves a connection."""
        process = psutil.Process(self.process.pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
        self.process.wait()

    def share(self, hub: Path) -> None:
        """Have all clones of a bare repository use it as their remote."""
        clone = hub.with_name("sharing")
        git(hub.parent, "clone", "--quiet", str(hub), clone.name)
        for key in ("user.name", "user.email"):
            git(clone, "config", key, "test@example.org")
        dvc(clone, "remote", "remove", REMOTE)
        _configure(clone, self.settings, "--default")
        git(clone, "commit", "--quiet", "--all", "--message", "Share")
        git(clone, "push", "--quiet")
        shutil.rmtree(clone)

    def admit(self, clone: Path) -> None:
        """Give a clone what lets it in, where git does not see it."""
        for name, value in self.secrets.items():
            dvc(clone, "remote", "modify", "--local", REMOTE, name, value)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class S3(Server):
    kind = "s3"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        address = f"http://127.0.0.1:{self.port}"
        self.settings = {"url": "s3://bucket/store", "endpointurl": address}
        self.secrets = {"access_key_id": KEY, "secret_access_key": SECRET}

    def make_command(self) -> list[str]:
        module = "tests.flows.placing.s3_server"
        return [sys.executable, "-m", module, str(self.port), str(self.folder), "bucket", KEY]

    def count_moved(self) -> tuple[int, int]:
        rows = [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]
        moved = [row for row in rows if "/store/files/md5/" in row[1] and row[2] < 300]
        return sum(row[3] for row in moved), sum(row[4] for row in moved)


class SSH(Server):
    kind = "ssh"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        url = f"ssh://127.0.0.1{folder}/store"
        self.settings = {"url": url, "port": str(self.port)}
        self.secrets = {"keyfile": str(folder / "user")}
        for name in ("host", "user"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
            (folder / name).chmod(0o600)
        options = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub",
            "StrictModes": "no",  # of what lies in a folder of all, such as /tmp
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "Subsystem": "sftp internal-sftp -l INFO",
        }
        lines = [f"{name} {value}\n" for name, value in options.items()]
        (folder / "config").write_text("".join(lines))

    def make_command(self) -> list[str]:
        sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
        if not sshd:
            skip_without("sshd", "apt install openssh-server")
        return [sshd, "-D", "-e", "-f", str(self.folder / "config")]

    def count_moved(self) -> tuple[int, int]:
        found = CLOSED.findall((self.folder / "log").read_text())
        return sum(int(written) for _, written in found), sum(int(read) for read, _ in found)


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    """Run a server for as long as the block lasts."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


def find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _configure(clone: Path, settings: dict[str, str], *options: str) -> None:
    url, *others = settings.items()
    dvc(clone, "remote", "add", *options, REMOTE, url[1])
    for name, value in others:
        dvc(clone, "remote", "modify", REMOTE, name, value)
