"""Pictures that differ where figures do, drawn in a hundredth of the time."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from matplotlib import axis
from PIL import Image

ASKED = ("get_text", "get_xydata", "get_array", "get_height", "get_width")


def replace(module: Any) -> None:
    """Let the figures of matplotlib.figure be saved so."""
    module.Figure.savefig = save
    axis._LazyTickList.__get__ = get_ticks  # type: ignore[attr-defined]


def get_ticks(ticks: Any, of: Any, _: Any) -> Any:
    """Make none: they are half of what an axes takes, and not in a sketch."""
    if of is None:
        return ticks
    made: list[Any] = []
    setattr(of, "majorTicks" if ticks._major else "minorTicks", made)
    return made


def save(figure: Any, file: Any, *, dpi: int, **_: Any) -> None:
    parts = [str(dpi)]
    for artist in _list_artists(figure):
        parts.append(type(artist).__name__)
        parts += [_describe(ask) for name in ASKED if (ask := getattr(artist, name, None))]
    digest = hashlib.sha512("\n".join(parts).encode()).digest()
    pixels = np.frombuffer(digest + digest[:32], np.uint8).reshape(4, 8, 3)
    Image.fromarray(pixels).resize((64, 32), Image.Resampling.NEAREST).save(file, "PNG")


def _list_artists(figure: Any) -> Iterator[Any]:
    """Yield what carries data or words; to ask for an axis's ticks would make them."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
        for kind in (axes.lines, axes.patches, axes.images, axes.texts, axes.collections):
            yield from kind


def _describe(ask: Callable[[], Any]) -> str:
    value = ask()
    if isinstance(value, np.ndarray):
        return hashlib.md5(np.ascontiguousarray(value).tobytes()).hexdigest()
    return str(value) if isinstance(value, str | int | float) else ""
