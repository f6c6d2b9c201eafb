"""What frozen layers make of the training images, computed once and read by memory map."""

import math
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision.base.files import reserve
from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.models.batches import count_batches, iterate_batches, to_input
from vision.models.inference import inferring
from vision.models.networks import ModelSpec
from vision.training.augmentation import Draws

DTYPES = {"fp32": np.float32, "bf16": np.float16}  # as exact as what the layers computed


class Features:
    """The outputs of frozen layers, (views, n, ...), in a file that goes with this object."""

    def __init__(
        self, frozen: nn.Module, spec: ModelSpec, data: ImageSet, batch_size: int, flip: bool
    ) -> None:
        self.data = data
        self.device = next(frozen.parameters()).device
        self.values: Any = None
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
                part = frozen(x).float().cpu().numpy()
            if self.values is None:
                shape = (n_views, len(self.data), *part.shape[1:])
                with tempfile.TemporaryFile() as file:
                    reserve(file, math.prod(shape) * np.dtype(DTYPES[spec.precision]).itemsize)
                    self.values = np.memmap(file, DTYPES[spec.precision], "w+", shape=shape)
            self.values[view, start : start + len(part)] = part
            start += len(part)

    def read(self, positions: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the features of the images at these positions, mirrored as drawn, and labels."""
        chosen = positions.numpy()
        mirrored = np.zeros(len(chosen)) if draws.mirrored is None else draws.mirrored[:, 0].numpy()
        values = torch.from_numpy(self.values[mirrored.astype(int), chosen])
        labels = torch.from_numpy(self.data.labels[self.data.indices[chosen]])
        return values.to(self.device).float(), labels.to(self.device)
