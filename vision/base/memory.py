"""Whether an error means that memory ran out, and which params to lower then. Loads no torch."""

import errno
import re
from collections.abc import Mapping
from typing import Any

from vision.base.params import flatten

# torch raises RuntimeError on a CPU, and has a type of its own on a GPU.
WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|[Ss]torage size calculation overflowed"
    r"|Overflow when unpacking long|ALLOC_FAILED"
)
KNOBS = (  # what a stage needs the more memory for, the larger it is
    "batch_size",
    "hidden_units",
    "first_filters",
    "second_filters",
    "input_px",
    "px_by_epoch",
    "image_px",
    "images",
    "dpi",
)


def is_shortage(error: BaseException) -> bool:
    """Say whether an error means that there was not enough memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError | TypeError) and WORDS.search(str(error)) is not None


def name_knobs(values: Mapping[str, Any]) -> str:
    """Return the params to lower, each with its value; "" where there is none.

    Args:
        values: what a stage reads of params.yaml, by key.
    """
    found = (
        f"{key} ({value})"
        for key, value in flatten(dict(values))
        if key.rpartition(".")[2] in KNOBS and value
    )
    return " or ".join(found)


def say_shortage(values: Mapping[str, Any]) -> str:
    """Return the way out."""
    knobs = name_knobs(values)
    if not knobs:
        return "end other programs, or take a larger machine"
    keys = [key.rpartition(".") for key, _ in flatten(dict(values))]
    recipes = [recipe for recipe, _, key in keys if recipe and key == "epochs"]
    pieces = [f", or raise {recipe}.accumulate, the pieces of a batch" for recipe in recipes]
    return f"lower {knobs}{''.join(pieces)}"
