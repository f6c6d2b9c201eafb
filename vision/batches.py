"""Batches of images as tensor operations on whole batches; images stay uint8 until they are used.

A PIL-based DataLoader spends more time per small image than the network does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vision.data import ImageSet
from vision.models import Channels, ModelSpec


@dataclass(frozen=True)
class Batch:
    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) int64


def count_batches(count: int, batch_size: int) -> int:
    """Return how many batches `count` images make, of at most `batch_size` each.

    An odd image out joins a batch: batch norm cannot train on one image.
    """
    return max(1, min(-(-count // batch_size), count // 2))


def iterate_batches(
    data: ImageSet, order: Tensor, batch_size: int, device: torch.device
) -> Iterator[Batch]:
    """Yield the images of `order`, (n,) positions in the subset, batch by batch.

    The batches differ by one image at most. Full batches and a small rest would let that rest set
    a tenth of the running statistics of batch norm, right before they are used for validation.
    """
    for chunk in order.tensor_split(count_batches(len(order), batch_size)):
        rows = data.indices[chunk.numpy()]
        images = torch.from_numpy(np.asarray(data.images[rows]))
        labels = torch.from_numpy(data.labels[rows])
        yield Batch(images.to(device), labels.to(device))


def crop_and_flip(
    images: Tensor, padding_px: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """Shift each image by up to `padding_px` both ways, reflecting at the border, and mirror half.

    Args:
        images: (B, H, W, 3) uint8.
        generator: on the CPU, so that every device sees the same images.
    """
    count, height, width, _ = images.shape
    shifts = torch.randint(-padding_px, padding_px + 1, (2, count, 1), generator=generator)
    rows = _reflect(torch.arange(height) + shifts[0], height)  # (B, H)
    columns = _reflect(torch.arange(width) + shifts[1], width)  # (B, W)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    image = torch.arange(count, device=images.device)[:, None, None]
    return images[image, rows[:, :, None], columns[:, None, :]]


def to_input(images: Tensor, spec: ModelSpec) -> Tensor:
    """Scale to 0..1, normalise and resize: (B, H, W, 3) uint8 -> (B, 3, P, P) float32."""
    mean = torch.tensor(spec.mean, device=images.device)
    std = torch.tensor(spec.std, device=images.device)
    scaled = (images.float() / 255 - mean) / std
    x = scaled.permute(0, 3, 1, 2)  # a view: channels_last in memory, as convolutions like it
    if x.shape[2:] == (spec.input_px, spec.input_px):
        return x
    size = (spec.input_px, spec.input_px)
    return functional.interpolate(x, size, mode="bilinear", antialias=spec.input_px < x.shape[2])


def measure_channels(data: ImageSet, chunk: int = 4096) -> tuple[Channels, Channels]:
    """Return the mean and standard deviation of each channel over a subset, of values in 0..1."""
    sums, squares, pixels = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(data), chunk):
        values = data.images[data.indices[start : start + chunk]].reshape(-1, 3) / 255.0
        sums += values.sum(0)
        squares += (values**2).sum(0)
        pixels += len(values)
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-12))
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0..size-1 back inside, the border pixel not repeated."""
    folded = positions.abs()
    return torch.where(folded < size, folded, 2 * (size - 1) - folded).clamp(0, size - 1)
