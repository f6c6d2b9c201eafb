"""Find the project's files that a module imports, directly or through others."""

import ast
from pathlib import Path

PACKAGES = ("stages", "vision", "flows")


def find_closure(module: str, root: Path) -> set[str]:
    """Return the paths, relative to `root`, of `module` and of all project files it imports."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        path = find_file(waiting.pop(), root)
        if path is not None and str(path) not in found:
            found.add(str(path))
            waiting += list_imports(root / path)
    return found


def find_file(module: str, root: Path) -> Path | None:
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if path.parts[0] in PACKAGES and (root / candidate).is_file():
            return candidate
    return None


def list_imports(path: Path) -> list[str]:
    """Return the modules that a file imports anywhere in it, and names that may be modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
