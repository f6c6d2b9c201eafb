"""What a training needs to go on where it was ended, written after each epoch.

data/checkpoints/
    NAME-seed-SEED-KEY.pt     see vision/base/kept.py for the key
    NAME-seed-SEED-KEY.json   how many epochs it has, for who would not load it
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vision.base.files import remove_leftovers, write_bytes, write_json
from vision.base.kept import drop_older, find_place

DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Checkpoint:
    """The state of one training on disk, or nowhere.

    The file is a sha256 and what torch.save wrote: a damaged one is known before it is read.
    """

    path: Path | None = None

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, on the CPU, or None if that is nothing or damaged."""
        if self.path is None:
            return None
        remove_leftovers(self.path)
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        try:
            if hashlib.sha256(payload).digest() != digest:
                raise pickle.UnpicklingError("the checksum differs")
            state: dict[str, Any] = torch.load(
                io.BytesIO(payload), map_location="cpu", weights_only=True
            )
        except pickle.UnpicklingError:
            print(f"{self.path} is damaged: starting from the first epoch", flush=True)
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved, and remove the oldest checkpoints of this name."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getbuffer()
        write_bytes(self.path, hashlib.sha256(payload).digest() + payload)
        write_json(self.path.with_suffix(".json"), {"epochs": len(state.get("history", []))})
        drop_older(self.path.with_suffix(""))


Checkpoints = Callable[[int], Checkpoint]  # that of a seed


def forget(_: int) -> Checkpoint:
    """Return a checkpoint that keeps nothing, for every seed."""
    return Checkpoint()


def open_checkpoint(name: str, decisive: Mapping[str, str]) -> Checkpoint:
    """Return the checkpoint of a training.

    Args:
        decisive: hashes of all that decides what the training gives.
    """
    place = find_place(name, decisive)
    return Checkpoint(place and place.with_suffix(".pt"))
