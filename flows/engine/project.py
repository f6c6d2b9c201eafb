"""Find the project from a folder below it, as git and DVC do."""

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

from vision.base.errors import PipelineError


def give_name() -> None:
    """Name the user where the system has no name, as in containers: DVC and others ask for one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user-{os.getuid()}"


def find_project(start: Path) -> Path | None:
    """Return the nearest folder, from one upwards, that has a dvc.yaml and DVC's own folder."""
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    return None


def enter_project() -> Path:
    """Make the project's top folder the current one; return the folder where we were.

    Raises:
        PipelineError: no folder from here upwards is a project.
    """
    start = _find_start()
    if project := find_project(start):
        os.chdir(project)
        return start
    raise PipelineError(
        f"there is no project at {start}, nor above it: go to a folder with dvc.yaml and .dvc"
    )


@contextmanager
def visiting_project() -> Iterator[Path]:
    """Do the same for as long as the block lasts, or stay where there is no project.

    A model's file needs none.
    """
    start = _find_start()
    with chdir(find_project(start) or start):
        yield start


def _find_start() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise PipelineError("the folder that this shell is in was removed: cd to another") from None


def place(path: str, start: Path) -> str:
    """Return a typed path as it is called from the project, where it was typed below it."""
    if start == Path.cwd() or Path(path).is_absolute():
        return path
    return os.path.relpath(start / path)


def place_model(name: str, start: Path) -> str:
    """Return a model as it is called from the project: the file, or the recipe, that was typed."""
    return place(name, start) if name.endswith(".safetensors") else name


def place_sources(overrides: Sequence[str], start: Path, key: str) -> list[str]:
    """Return overrides in which a relative path behind a key means what it means at `start`."""

    def move(text: str) -> str:
        typed, equals, value = text.partition("=")
        is_path = typed.lstrip("+") == key and value and (start / value).exists()
        return f"{typed}={place(value, start)}" if equals and is_path else text

    return [move(text) for text in overrides]


def describe_error(error: PipelineError | OSError) -> str:
    """Return what is wrong, and for an error of the operating system the file it is about."""
    if isinstance(error, OSError):
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return str(error)
