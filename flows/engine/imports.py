"""Which of the project's files a module needs, read from the imports in their text."""

import ast
from pathlib import Path

PACKAGES = ("stages", "vision", "flows")


def find_closure(module: str, root: Path = Path()) -> set[str]:
    """Return the files, relative to `root`, of `module` and of all that it imports.

    Imports inside functions count. Packages' own files do not: they hold no code.

    Raises:
        ValueError: an import is relative.
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
    path = Path(*module.split(".")).with_suffix(".py")
    return path if path.parts[0] in PACKAGES and (root / path).is_file() else None


def list_imports(path: Path) -> list[str]:
    """Return the modules that a file imports, and imported names that may be modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno} has a relative import: write it in full")
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
