"""Write a page of the API for each room, as MkDocs builds the site. Run: make docs"""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

HOUSES = ("vision", "stages", "flows")
INTRODUCTION = """# API reference

The public functions and classes of each room, as the source describes them. Rooms import one way;
pyproject.toml says which from which, and `make test` checks it. `vision` knows nothing of DVC
and Prefect.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the API to those in docs/."""
    for page, text in write_api().items():
        files.append(File.generated(config, page, content=text))
    return files


def write_api(root: Path = Path()) -> dict[str, str]:
    """Return Markdown by page; mkdocstrings puts a room's docstrings in the place of `:::`."""
    rooms = list_rooms(root)
    pages = {f"api/{room}.md": write_room(root, room) for room in rooms}
    rows = "".join(f"- [{room}]({room}.md): {read_summary(root, room)}\n" for room in rooms)
    return {"api/index.md": f"{INTRODUCTION}\n{rows}"} | pages


def write_room(root: Path, room: str) -> str:
    """Return the page of a room: its own docstring, then its modules."""
    files = sorted((root / room.replace(".", "/")).glob("[!_]*.py"))
    modules = "".join(f"\n## {room}.{file.stem}\n\n::: {room}.{file.stem}\n" for file in files)
    return f"# {room}\n\n::: {room}\n{modules}"


def list_rooms(root: Path) -> list[str]:
    """Return the packages of the project by their dotted names."""
    files = [file for house in HOUSES for file in sorted((root / house).rglob("__init__.py"))]
    return [".".join(file.parent.relative_to(root).parts) for file in files]


def read_summary(root: Path, room: str) -> str:
    """Return the first line of a package's docstring, without importing it."""
    source = (root / room.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
