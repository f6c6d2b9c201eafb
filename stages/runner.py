"""Run a stage the same way by hand and under DVC: one line for an error, a check for changes.

DVC records code, params and inputs as they are when a command ends. A stage whose files were
edited while it ran would be recorded against the wrong ones, so it fails instead.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from filelock import BaseFileLock, FileLock, Timeout

from stages.loaded import LOADED, ROOT, STALE  # isort: skip - before vision, which it has compiled anew
from stages.declared import DVC_FILE, fingerprint, has_members, read_declared
from stages.known import bring_back, find_known, keep
from stages.unlisted import remove_unlisted
from vision.base.death_signal import end_with_parent
from vision.base.errors import FULL, BusyError, ChangedError, DepsError, ParamsError, PipelineError
from vision.base.fingerprint import digest_path
from vision.base.memory import is_shortage, say_shortage
from vision.base.params import check_name, get_value, read_params

LOCKS_DIR = Path(".dvc/tmp/stages")
DVC_STAGE = "DVC_STAGE"  # environment variable that DVC sets for its stages
ENDING_S = 20  # that a killed copy may take: it ends the checkpoint that it is writing
COMMANDS = ("stages.__main__", "stages.worker")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
Load = Callable[[str], Callable[..., None]]  # stage -> what computes its outs


def load_main(stage: str) -> Callable[..., None]:
    """Import a stage's script, with all that it computes with, and return its `main`."""
    module = f"stages.{stage.replace('-', '_')}"
    if find_spec(module) is None:
        raise ParamsError(f"{stage} has no script: write {module.replace('.', '/')}.py")
    main: Callable[..., None] = import_module(module).main
    return main


def run_stage(arguments: list[str], *, load: Load = load_main, worker: bool = False) -> int:
    """Run the stage that a command names and return the exit status.

    Started by DVC, a stage ends when DVC ends; it never runs twice at once in one folder.

    Args:
        arguments: the stage's name in dvc.yaml; where it has members, that of one.
        load: returns the stage's `main`, which takes that member.
        worker: this is one of several processes, and the one that started it holds the stage.
    """
    if DVC_STAGE in os.environ and not worker:
        end_with_parent()
    stage, *names = arguments or [""]
    try:
        check_arguments(stage, names)
        with ending_when_told(), nullcontext() if worker else holding(stage, *names):
            run_checked(stage, names, load, worker)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"error: {describe_other(error, stage, names)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{stage} was interrupted; nothing half-written is left", file=sys.stderr)
        return INTERRUPTED
    except _EndedError as ended:
        print(f"{stage} was told to end; nothing half-written is left", file=sys.stderr)
        return 128 + ended.number
    return 0


def check_arguments(stage: str, names: list[str]) -> None:
    """Raise ParamsError unless dvc.yaml has such a stage, and these are the names that it takes."""
    wanted = int(has_members(stage))
    if len(names) != wanted:
        usage = "one name" if wanted else "no name"
        raise ParamsError(f"{stage} takes {usage}, not {' '.join(names) or 'none'!r}")
    for name in names:
        check_name(name)


def run_checked(stage: str, names: list[str], load: Load, worker: bool) -> None:
    """Run a stage, or bring back its outs, and see that nothing it rests on changes meanwhile."""
    name = "".join(names)
    if not worker:
        remove_unlisted(stage, name)
    before = fingerprint(stage, name)
    check_code(stage, name, before)
    place = None if worker else find_known(stage, name, before)
    known = place is not None and bring_back(stage, name, place)
    if not known:
        main = load(stage)
        check_code(stage, name, before)
        main(*names)
        check_code(stage, name, before)
    check_unchanged(stage, before, fingerprint(stage, name))
    if place and not known:
        keep(stage, name, place)


class _EndedError(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def ending_when_told() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that temporary files go."""

    def end(number: int, _: FrameType | None) -> None:
        raise _EndedError(number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def holding(stage: str, name: str = "") -> Iterator[None]:
    """Keep a second copy of a stage out of this folder; the lock goes with the process.

    Raises:
        BusyError: a copy is at work, and stays so for ENDING_S.
    """
    title = "@".join(filter(None, [stage, name]))
    LOCKS_DIR.mkdir(parents=True, exist_ok=True)
    with _acquire(FileLock(LOCKS_DIR / f"{title}.lock"), title):
        yield


def _acquire(lock: BaseFileLock, title: str) -> AbstractContextManager[object]:
    with suppress(Timeout):
        return lock.acquire(timeout=0)
    print(f"{title} is at work in this folder: giving it {ENDING_S} s to end", flush=True)
    try:
        return lock.acquire(timeout=ENDING_S)
    except Timeout:
        raise BusyError(
            f"{title} is at work in this folder already: wait for it or end it"
        ) from None


def describe_other(error: Exception, stage: str, names: list[str]) -> str:
    """Return in one line what a user can mend: a file, or memory that ran out.

    Raises:
        Exception: `error` itself, where it is a fault of ours.
    """
    if is_shortage(error):
        params = read_params()
        values = {key: get_value(params, key) for key in read_declared(stage, *names).params}
        return f"{stage} ran out of memory: {say_shortage(values)}"
    if isinstance(error, OSError):
        return describe_os_error(error)
    raise error


def describe_os_error(error: OSError) -> str:
    """Return an error of the operating system in one line, with the way out.

    Raises:
        OSError: `error` itself, where it names no file and is not about room: a fault of ours.
    """
    path = error.filename
    if error.errno in FULL:
        return f"no room is left for {path or 'a file'}: free some, then run it again"
    if path is None:
        raise error
    if isinstance(error, FileNotFoundError):
        return f"{path} is missing: dvc repro makes it, dvc checkout brings it back"
    return f"{path}: {error.strerror}"


def check_code(stage: str, name: str, before: dict[str, str]) -> None:
    """Raise an error unless what is loaded is what dvc.yaml declares and the files say.

    Only a stage that was started as a command in its own project knows what it runs.

    Args:
        before: hashes of the stage's deps, by path, as they were before its script was loaded.
    """
    if not _is_command():
        return
    if STALE:
        raise ChangedError(
            f"{', '.join(STALE)} changed while {stage} was starting, or had been compiled from "
            "another text: run it again"
        )
    if unknown := sorted(LOADED.keys() - set(read_declared(stage, name).deps)):
        raise DepsError(
            f"{stage} imports {', '.join(unknown)}, which {DVC_FILE} does not list: make deps"
        )
    check_unchanged(stage, {path: before[path] for path in LOADED}, LOADED)
    check_unchanged(stage, LOADED, {path: digest_path(Path(path)) for path in LOADED})


def _is_command() -> bool:
    spec = sys.modules["__main__"].__spec__
    return spec is not None and spec.name in COMMANDS and ROOT.samefile(Path())


def check_unchanged(stage: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Raise ChangedError if any fingerprint differs, naming what changed."""
    changed = sorted(key for key in before | after if before.get(key) != after.get(key))
    if changed:
        raise ChangedError(f"{', '.join(changed)} changed while {stage} was running: run it again")
