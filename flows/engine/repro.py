"""Run one stage as `dvc repro` would, in processes that end when we do."""

import math
import os
import re
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.engine import supervisor
from flows.engine.rwlock import mend_rwlock
from flows.engine.tree import make_environment
from vision.base.errors import PipelineError
from vision.base.kept import CHECKPOINTS

Outcome = Literal["cached", "restored", "ran"]
HINTS = re.compile(
    r"To track the changes with git, run:|\tgit add .*|To enable auto staging, run:"
    r"|\tdvc config core\.autostage true|Use `dvc push` to send .*|Updating lock file .*|"
)  # what DVC says after each stage, to someone who typed its command
COMMAND = re.compile(r"> .*|\s*")  # the command of a stage, as DVC shows it, or nothing
KILLED_BY_SHELL = re.compile(r"(\S+: )*(line \d+: +\d+ )?[Kk]illed\b.*")  # said by sh, bash or zsh
BUSY_WAIT_S = 2.0  # DVC waits for its lock, but not for a path that another process reads
BUSY_TRIES = 30
KILLED = {-9, 137, 247}  # by SIGKILL: as Python, shells and the supervisor report it
VMSTAT = Path("/proc/vmstat")
TIMED_OUT = 124  # as timeout(1) reports it


class StoppedError(PipelineError):
    """The flow ended while a stage was running."""


class StageFailedError(PipelineError):
    """A stage ended with an error.

    Attributes:
        status: exit status of the stage's own command; 124 after a timeout; None where DVC failed.
    """

    def __init__(self, stage: str, message: str, status: int | None) -> None:
        super().__init__(f"{stage}: {message}")
        self.status = status


@dataclass
class _Output:
    """What the lines of `dvc repro` say."""

    error: str = ""
    said: str = ""  # the stage's last line
    is_told: bool = False  # by the stage itself
    status: int | None = None
    outcome: Outcome = "cached"
    busy: bool = False
    broken_lock: bool = False  # a DVC that was killed while it wrote the file of its locks

    def read(self, line: str) -> None:
        if line.startswith("Running stage "):
            self.outcome = "ran"
        elif line.endswith("is cached - skipping run, checking out outputs"):
            self.outcome = "restored"
        elif line.startswith(("error: ", "ERROR: ")):
            self.error = self.error or line.partition(": ")[2]
            self.is_told = self.is_told or line.startswith("error: ")
        elif self.outcome == "ran" and not any(
            words.fullmatch(line) for words in (COMMAND, HINTS, KILLED_BY_SHELL)
        ):
            self.said = line.strip()
        self.busy = self.busy or " is busy, it is being blocked by" in line
        self.broken_lock = self.broken_lock or bool(re.match("ERROR: .*RWLock-file", line))
        if exited := re.search(r"exited with (-?\d+)$", line):
            self.status = int(exited[1])

    def describe(self) -> str:
        """Return what went wrong, in the stage's own words where it has any."""
        if self.is_told or not self.said:
            return self.error
        return f"{self.said} ({self.error})" if self.error else self.said


def repro(
    tree: Path,
    stage: str,
    *,
    force: bool = False,
    threads: int | None = None,
    timeout_s: float = math.inf,
    stop: threading.Event | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    memory: str = "",
) -> Outcome:
    """Bring one stage up to date, without those upstream, and say what that took.

    Args:
        threads: CPU threads for the stage; None leaves the choice to it.
        timeout_s: seconds after which the stage is ended.
        stop: ends the stage when set.
        on_line: called with each line that DVC and the stage print.
        memory: the params that decide how much memory the stage needs, for an error.

    Raises:
        StageFailedError: with the stage's own message.
        StoppedError: `stop` was set.
    """
    stop = stop or threading.Event()
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", *(["--force"] * force), stage]
    environment = _make_environment(threads, force)
    kills = count_memory_kills()
    for _ in range(BUSY_TRIES):
        output = _Output()
        deadline = time.monotonic() + timeout_s
        listeners = [output.read, on_line]
        status = run_supervised(tree, command, environment, listeners, stop, deadline)
        if status == 0:
            return output.outcome
        if status == TIMED_OUT:
            raise StageFailedError(stage, f"not done after {timeout_s:g} s: stopped", status)
        if output.broken_lock:
            mend_rwlock(tree)
        elif output.busy:
            stop.wait(BUSY_WAIT_S)
        else:
            break
    if not output.is_told and {status, output.status} & KILLED:
        message = describe_kill(count_memory_kills() > kills, memory, output.said)
    else:
        message = output.describe() or f"dvc repro ended with status {status}"
    raise StageFailedError(stage, message, output.status)


def count_memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since it started."""
    with suppress(OSError):
        for line in VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def describe_kill(for_memory: bool, memory: str, said: str) -> str:
    """Say what was killed, perhaps for want of memory.

    Args:
        memory: the params that decide how much is needed.
        said: its last words.
    """
    why = "as memory ran out" if for_memory else "perhaps as memory ran out"
    way_out = f"lower {memory}" if memory else "end other programs, or take a larger machine"
    last = f"; its last words: {said}" * bool(said)
    return f"killed, {why}: {way_out}{last}"


def run_supervised(
    tree: Path,
    command: Sequence[str],
    environment: dict[str, str],
    listeners: Sequence[Callable[[str], None]],
    stop: threading.Event,
    deadline: float = math.inf,
) -> int:
    """Run a module under the supervisor, give its lines to the listeners, return its exit status.

    Args:
        command: the module, as dvc, and its arguments.
        deadline: of the monotonic clock, at which it is ended, with the status TIMED_OUT.

    Raises:
        StoppedError: `stop` was set.
    """
    with subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, sys.executable, "-m", *command],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            for line in _read_lines(process, stop, deadline):
                for listen in listeners if not HINTS.fullmatch(line) else ():
                    listen(line)
            return process.wait()
        except TimeoutError:
            return TIMED_OUT
        finally:
            if process.poll() is None:
                process.terminate()


def _read_lines(
    process: subprocess.Popen[bytes], stop: threading.Event, deadline: float
) -> Iterator[str]:
    """Yield lines as they come; wake often, so that a stop or the deadline is noticed in silence.

    Raises:
        StoppedError, TimeoutError
    """
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if stop.is_set():
                raise StoppedError("stopped with the flow")
            if time.monotonic() > deadline:
                raise TimeoutError
            if not selector.select(timeout=0.2):
                continue
            chunk = process.stdout.read()
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _clean(line)
    if rest:
        yield _clean(rest)


def _clean(line: bytes) -> str:
    """Decode a line as a terminal would show it in the end: what a bar overwrote is gone."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]


def _make_environment(threads: int | None, force: bool) -> dict[str, str]:
    environment = make_environment() | {"PYTHONUNBUFFERED": "1"}
    if threads:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    if force:
        environment[CHECKPOINTS] = ""  # or a training that is finished would not be trained
    return environment
