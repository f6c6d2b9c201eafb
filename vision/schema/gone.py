"""Params that earlier versions had: whoever still has one is told so in one line."""

from collections.abc import Mapping
from typing import Any


def refuse_gone(values: Any, gone: Mapping[str, str]) -> Any:
    """Return the values of a section, unless a key that is gone is among them.

    Args:
        gone: by key, why it is not needed.
    """
    if isinstance(values, Mapping):
        for key, why in gone.items():
            if key in values:
                raise ValueError(f"{key} is gone, as {why}: remove it from params.yaml")
    return values
