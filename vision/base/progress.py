"""Progress bars on a terminal's standard error; nothing in a log."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.progress import track as track_on_terminal

T = TypeVar("T")
TEXT = TextColumn("{task.description}")


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a bar that goes when they end."""
    if not sys.stderr.isatty():
        yield from items
        return
    console = Console(stderr=True)
    yield from track_on_terminal(items, escape(title), total, console=console, transient=True)


@contextmanager
def track_bytes(title: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes that have come since the last call."""
    columns = (TEXT, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    silent = not sys.stderr.isatty()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(escape(title), total=total, completed=done)
        yield lambda count: progress.advance(task, count)
