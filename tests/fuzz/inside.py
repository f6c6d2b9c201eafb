"""What each stage of the fuzz begins with: a note of its reads.

The warm server imports this where WARM_SETUP names it. A stage whose environment has FUZZ_READS
writes there, at its end, which files of the project it read and which folders it listed.
"""

import atexit
import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import safetensors

from tests.fuzz import READS

# Reads that decide nothing: of hashes, and of what a killed process or another recipe left.
BOOKKEEPING = ("vision/base/fingerprint.py", "stages/declared.py")
CLEANING = ("remove_leftovers", "remove_unlisted")


class Reads:
    """What this process reads of the project in the current folder."""

    def __init__(self) -> None:
        self.root = f"{Path.cwd()}/"
        self.files: dict[str, None] = {}
        self.folders: dict[str, None] = {}

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, str) and not flags & (os.O_CREAT | os.O_WRONLY):
                self.add(path, self.files)
        elif event in ("os.scandir", "os.listdir") and not _is_import(sys._getframe(1)):
            folder = args[0] or "."
            if isinstance(folder, str | os.PathLike):  # else of a folder that is being removed
                self.add(os.fspath(folder), self.folders)

    def add(self, path: str, kind: dict[str, None]) -> None:
        full = os.path.normpath(os.path.join(self.root, path))  # noqa: PTH118 - no pathlib in a hook
        if full.startswith(self.root) and not _is_bookkeeping(sys._getframe(2)):
            kind[full.removeprefix(self.root)] = None

    def write(self, path: str) -> None:
        Path(path).write_text(json.dumps({"files": [*self.files], "folders": [*self.folders]}))


def _is_import(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")


def _is_bookkeeping(frame: FrameType | None) -> bool:
    while frame:
        code = frame.f_code
        if code.co_filename.endswith(BOOKKEEPING) and code.co_name != "<module>":
            return True
        if code.co_name in CLEANING:
            return True
        frame = frame.f_back
    return False


def note_safetensors(reads: Reads) -> None:
    """Note the files that safetensors opens in Rust, past Python's audit."""
    opened = safetensors.safe_open

    def safe_open(path: Any, *args: Any, **options: Any) -> Any:
        reads.add(os.fspath(path), reads.files)
        return opened(path, *args, **options)

    safetensors.safe_open = safe_open  # type: ignore[misc]
    sys.modules["safetensors.torch"].safe_open = safe_open  # type: ignore[attr-defined]


if READS in os.environ:
    noted = Reads()
    note_safetensors(noted)
    sys.addaudithook(noted.note)
    atexit.register(noted.write, os.environ[READS])
