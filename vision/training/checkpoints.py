"""What a training needs to go on where it was ended, written after each epoch.

data/checkpoints/
    NAME-seed-SEED-KEY.pt   KEY is of all that decides the training: code, params, inputs, torch

A training of anything else has another key, so it never goes on from here. The folder is no out of
DVC's. CHECKPOINTS names another one; where it is set to nothing, no checkpoint is read or written.
"""

import hashlib
import io
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vision.base.files import CHECKPOINTS, CHECKPOINTS_DIR, remove_leftovers, write_bytes

KEY_DIGITS = 16
KEPT = 2  # checkpoints of one name; older ones make room
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
        name = self.path.stem[: -KEY_DIGITS - 1]
        by_age = sorted(self.path.parent.glob(f"{name}-{'?' * KEY_DIGITS}.pt"), key=_get_time)
        for old in by_age[:-KEPT]:
            old.unlink(missing_ok=True)


Checkpoints = Callable[[int], Checkpoint]  # that of a seed


def forget(_: int) -> Checkpoint:
    """Return a checkpoint that keeps nothing, for every seed."""
    return Checkpoint()


def open_checkpoint(name: str, decisive: Mapping[str, str]) -> Checkpoint:
    """Return the checkpoint of a training.

    Args:
        decisive: hashes of all that decides what the training gives.
    """
    folder = os.environ.get(CHECKPOINTS)
    if folder == "":
        return Checkpoint()
    text = repr([torch.__version__, *sorted(decisive.items())])
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
    return Checkpoint(Path(folder or CHECKPOINTS_DIR) / f"{name}-{key}.pt")


def _get_time(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
