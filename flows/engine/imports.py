"""Which of the project's files a module needs, read from the imports in their text."""

import ast
from functools import lru_cache
from pathlib import Path

from vision.base.errors import DepsError

PACKAGES = ("stages", "vision", "flows")


def find_closure(module: str, root: Path = Path()) -> set[str]:
    """Return the files, relative to `root`, of `module` and of all that it imports.

    Imports inside functions count. Packages' own files do not: they hold no code.

    Raises:
        DepsError: a file cannot be read, or has a relative import.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = find_file(waiting.pop(), root)
        if path is not None and str(path) not in found:
            found.add(str(path))
            waiting += list_imports(root / path)
    return found


def find_file(module: str, root: Path = Path()) -> Path | None:
    """Return the file of one of the project's modules, relative to `root`."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    path = Path(*parts).with_suffix(".py")
    return path if (root / path).is_file() else None


def list_imports(path: Path) -> list[str]:
    """Return the modules that a file imports, and imported names that may be modules.

    Raises:
        DepsError: it cannot be read, or has a relative import.
    """
    try:
        return _parse_imports(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise DepsError(f"{path}: {error}") from None


@lru_cache(maxsize=512)
def _parse_imports(text: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno} has a relative import: write it in full")
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def find_code(command: str, root: Path = Path()) -> set[str]:
    """Return the files that a stage's command runs, as `find_closure` does: python -m stages STAGE.

    stages/__main__.py imports the stage's script by its name, once it is needed. Commands of other
    kinds have no files.
    """
    words = command.split()
    if words[:3] != ["python", "-m", "stages"] or len(words) < 4:
        return set()
    script = f"stages.{words[3].replace('-', '_')}"
    return find_closure("stages.__main__", root) | find_closure(script, root)


def check_closure(command: str, deps: set[str], root: Path) -> None:
    """Raise a DepsError if a command imports a file of the project that is not in its deps."""
    if unknown := find_code(command, root) - deps:
        names = ", ".join(sorted(unknown))
        raise DepsError(f"{command} imports {names}, which dvc.yaml does not list: make deps")
