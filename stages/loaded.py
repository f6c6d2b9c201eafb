"""What code a stage really runs: each module is compiled from its file, whose bytes are noted.

Import this before any module of vision. Python takes compiled code from __pycache__ where size and
second of the file are those of the source, so that an edit within the second that keeps the size
goes unnoticed; and a file can be edited between its import and the moment at which DVC hashes it.
"""

import hashlib
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, ModuleType

PACKAGES = ("stages", "vision")
ROOT = Path(__file__).parents[1]
LOADED: dict[str, str] = {}  # file of the project -> MD5 of the bytes that were compiled
STALE: list[str] = []  # loaded before this file, from another text than theirs, or edited since


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        code: CodeType = self.source_to_code(source, self.path)
        _note(self.path, source, code)
        return code


class _Finder:
    """Finds the modules of the project where Python does, and has them compiled anew."""

    @staticmethod
    def find_spec(
        name: str, path: list[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


def _note(file: str, source: bytes, code: CodeType) -> None:
    path = Path(file)
    is_package = path.name == "__init__.py" and code.co_names == ("__doc__",)  # without code
    if path.is_relative_to(ROOT) and not is_package:
        name = path.relative_to(ROOT).as_posix()
        LOADED[name] = hashlib.md5(source, usedforsecurity=False).hexdigest()


def _note_running() -> None:
    """Note the modules that are being imported: the command, and what imports this file."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        code, path = frame.f_code, Path(frame.f_code.co_filename)
        if code.co_name == "<module>" and _is_ours(path):
            _note_early(path, code)


def _note_imported() -> None:
    """Note the modules that the command imported before this file."""
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] not in PACKAGES or not isinstance(
            loader := getattr(module, "__loader__", None), SourceFileLoader
        ):
            continue
        path = Path(loader.path)
        if _is_ours(path) and path.relative_to(ROOT).as_posix() not in LOADED:
            _note_early(path, loader.get_code(name))  # what it ran, unless edited since


def _note_early(path: Path, code: CodeType | None) -> None:
    source = path.read_bytes()
    if code:
        _note(str(path), source, code)
    if compile(source, path, "exec", dont_inherit=True) != code:
        STALE.append(path.relative_to(ROOT).as_posix())
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES


_note_running()
_note_imported()
sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
