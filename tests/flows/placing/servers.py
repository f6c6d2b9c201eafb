"""Real servers on loopback that can be killed: of Prefect, and of DVC's remotes, S3 and SSH."""

import json
import os
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
from typing import ClassVar, TypeVar

import asyncssh
import httpx
import psutil

from flows.orchestration.server import SERVER_SETTINGS
from tests.flows.toy import dvc, git, wait_until
from tests.projects import ROOT
from tests.skips import skip_without
from vision.base.death_signal import end_with_parent

S = TypeVar("S", bound="Server")
REMOTE = "store"
KEY, SECRET = "known-to-the-server", "not-to-be-found"
CLOSED = re.compile(r"close \".*\" bytes read (\d+) written (\d+)")  # in the log of SFTP
START_S = 180.0  # on a busy machine: all of Prefect is imported, its tables are made
SBIN = "/usr/sbin:/usr/local/sbin"
LIBEXEC = "/usr/lib/openssh:/usr/libexec/openssh:/usr/libexec:/usr/lib/ssh"


class Server(ABC):
    """A process on a port of its own, which keeps all that it knows in a folder."""

    def __init__(self, folder: Path) -> None:
        self.environment: dict[str, str] = {}
        self.folder, self.port = folder, find_port()
        folder.mkdir()

    @abstractmethod
    def make_command(self) -> list[str]:
        """Return what starts it in the foreground."""

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                self.make_command(),
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        wait_until(self._answers, START_S)

    def kill(self) -> None:
        """Kill it with all that serves a connection."""
        process = psutil.Process(self.process.pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Prefect(Server):
    """Prefect's own server, its records in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.environment = SERVER_SETTINGS | {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/prefect.db",
        }

    def _answers(self) -> bool:
        """Say whether it answers questions: it listens long before."""
        if not super()._answers():
            return False
        try:
            return httpx.get(f"{self.url}/health", trust_env=False, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def make_command(self) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", "prefect", "server", "start", *options]


class Remote(Server):
    """
    Attributes:
        settings: of DVC's remote, for all clones.
        secrets: and for those that may use it.
    """

    kind: ClassVar[str]
    settings: dict[str, str]
    secrets: dict[str, str]

    @abstractmethod
    def count_moved(self) -> tuple[int, int]:
        """Return how many bytes of objects it says to have received and sent."""

    def share(self, hub: Path) -> None:
        """Have all clones of a bare repository use it as their remote."""
        clone = hub.with_name("sharing")
        git(hub.parent, "clone", "--quiet", str(hub), clone.name)
        for key in ("user.name", "user.email"):
            git(clone, "config", key, "test@example.org")
        dvc(clone, "remote", "remove", REMOTE)
        self.configure(clone)
        git(clone, "commit", "--quiet", "--all", "--message", "Share")
        git(clone, "push", "--quiet")
        shutil.rmtree(clone)

    def configure(self, clone: Path) -> None:
        """Make it the remote of a clone, without what lets one in."""
        dvc(clone, "remote", "add", "--default", REMOTE, self.settings["url"])
        for name, value in self.settings.items():
            dvc(clone, "remote", "modify", REMOTE, name, value)

    def admit(self, clone: Path) -> None:
        """Give a clone what lets it in, where git does not see it."""
        for name, value in self.secrets.items():
            dvc(clone, "remote", "modify", "--local", REMOTE, name, value)


class S3(Remote):
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


class SSH(Remote):
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
        sftp = find_program("sftp-server", LIBEXEC)
        options = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub",
            "StrictModes": "no",  # of what lies in a folder of all, such as /tmp
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "Subsystem": f"sftp {sftp} -e -l INFO 2>> {folder}/sftp",
        }
        lines = [f"{name} {value}\n" for name, value in options.items()]
        (folder / "config").write_text("".join(lines))

    def make_command(self) -> list[str]:
        if os.getuid() == 0 and not Path("/run/sshd").is_dir():
            skip_without("a folder that root's sshd wants", "mkdir /run/sshd")
        return [find_program("sshd", SBIN), "-D", "-e", "-f", str(self.folder / "config")]

    def count_moved(self) -> tuple[int, int]:
        found = CLOSED.findall((self.folder / "sftp").read_text())
        return sum(int(written) for _, written in found), sum(int(read) for read, _ in found)


@contextmanager
def serve(server: S) -> Iterator[S]:
    """Run a server for as long as the block lasts."""
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def find_program(name: str, folders: str) -> str:
    """Return where a program of OpenSSH's server lies; without it, the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path=folders)
    return found or skip_without(name, "apt install openssh-server")


def find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
