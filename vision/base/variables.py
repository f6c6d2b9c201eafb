"""The environment variables that are ours: their names begin with PIPELINE_."""

import os
import sys
from functools import cache

PREFIX = "PIPELINE_"


def read_variable(name: str) -> str | None:
    """Return a variable of the environment; None where it is not set.

    Args:
        name: with its prefix. Without it, as it was called once, it counts too, and that is said.
    """
    if name in os.environ:
        return os.environ[name]
    old = name.removeprefix(PREFIX)
    if old in os.environ:
        _tell(old, name)
    return os.environ.get(old)


@cache
def _tell(old: str, name: str) -> None:
    print(f"note: the variable {old} is called {name} now", file=sys.stderr)
