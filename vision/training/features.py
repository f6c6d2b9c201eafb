"""What frozen layers make of the training images, computed once.

It is held in a GPU's memory if it fits, else in a file that is read by memory map.
"""

import math
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vision.base.errors import FULL, TrainingError
from vision.base.files import reserve
from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.models.batches import count_batches, has_room, iterate_batches, send, to_input
from vision.models.inference import inferring
from vision.models.networks import ModelSpec
from vision.training.augmentation import Draws

LARGE = "/var/tmp"  # on a disk by convention, where /tmp may be memory
DTYPES = {"fp32": torch.float32, "bf16": torch.float16}  # as exact as what the layers computed


class Features:
    """The outputs of frozen layers, (views, n, ...): of the images, and of their mirror images.

    Raises:
        TrainingError: there is no room for them.
    """

    def __init__(
        self, frozen: nn.Module, spec: ModelSpec, data: ImageSet, batch_size: int, flip: bool
    ) -> None:
        self.data = data
        self.labels = torch.from_numpy(data.get_labels())
        self.device = next(frozen.parameters()).device
        self.values: Tensor | None = None
        for view in range(1 + flip):
            self._fill(view, 1 + flip, frozen.eval(), spec, batch_size)

    def _fill(
        self, view: int, n_views: int, frozen: nn.Module, spec: ModelSpec, batch_size: int
    ) -> None:
        order = torch.arange(len(self.data))
        batches = iterate_batches(self.data, order, batch_size, self.device)
        total, start = count_batches(len(order), batch_size), 0
        for batch in track(batches, "features of the frozen layers", total=total):
            x = to_input(batch.images.flip(2) if view else batch.images, spec)
            with inferring(self.device, spec):
                part = frozen(x)
            if self.values is None:
                shape = (n_views, len(self.data), *part.shape[1:])
                self.values = make_room(shape, DTYPES[spec.precision], self.device)
            self.values[view, start : start + len(part)] = part
            start += len(part)

    def read(self, positions: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the features of the images at these positions, mirrored as drawn, and labels."""
        assert self.values is not None
        views = torch.zeros_like(positions)
        if draws.mirrored is not None:
            views = draws.mirrored[:, 0].long()
        labels = send(self.labels[positions], self.device)
        views, positions = (send(each, self.values.device) for each in (views, positions))
        return self.values[views, positions].to(self.device).float(), labels


def make_room(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor on the device if it fits; else in a file without a name.

    That is in TMPDIR, or where large temporary files go.

    Raises:
        TrainingError: there is no room for the file.
    """
    n_bytes = math.prod(shape) * dtype.itemsize
    if has_room(n_bytes, device):
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    folder = tempfile.gettempdir()
    if "TMPDIR" not in os.environ and os.access(LARGE, os.W_OK):
        folder = LARGE
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            reserve(file, n_bytes)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise TrainingError(
                f"{folder} has no room for the {n_bytes / 1e9:.1f} GB of "
                "cache_features: free some, set TMPDIR to a larger disk, or cache_features to false"
            ) from None
        kind = np.dtype(str(dtype).removeprefix("torch."))
        return torch.from_numpy(np.memmap(file, kind, "w+", shape=tuple(shape)))
