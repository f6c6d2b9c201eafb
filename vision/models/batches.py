"""Batches of images as tensor operations on whole batches; images stay uint8 until they are used.

A PIL-based DataLoader spends more time per small image than the network does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vision.data.dataset import ImageSet
from vision.models.networks import Channels, ModelSpec

PIXELS_AT_ONCE = 2**18  # counted; more is no faster


@dataclass(frozen=True)
class Batch:
    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) int64


def count_batches(count: int, batch_size: int) -> int:
    """Return how many batches `count` images make, of at most `batch_size` each.

    An odd image out joins a batch: batch norm cannot train on one image.
    """
    return max(1, min(-(-count // batch_size), count // 2))


def split_batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Deal positions, (n,), into batches that differ by one image at most.

    Full batches and a small rest would let that rest set a tenth of the running statistics of
    batch norm, right before they are used for validation.
    """
    return order.tensor_split(count_batches(len(order), batch_size))


def read_batch(data: ImageSet, positions: Tensor, device: torch.device) -> Batch:
    """Return the images at these positions, (B,), of the subset."""
    rows = data.indices[positions.numpy()]
    images = torch.from_numpy(np.asarray(data.images[rows]))
    return Batch(images.to(device), torch.from_numpy(data.labels[rows]).to(device))


def iterate_batches(
    data: ImageSet, order: Tensor, batch_size: int, device: torch.device
) -> Iterator[Batch]:
    """Yield the images of `order`, (n,) positions in the subset, batch by batch."""
    for positions in split_batches(order, batch_size):
        yield read_batch(data, positions, device)


def reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0..size-1 back inside, the border pixel not repeated."""
    folded = positions.abs()
    return torch.where(folded < size, folded, 2 * (size - 1) - folded).clamp(0, size - 1)


def shift(images: Tensor, px: int) -> Tensor:
    """Shift (B, H, W, 3) images up and to the left, reflecting at the border."""
    rows, columns = (
        reflect(torch.arange(size, device=images.device) + px, size) for size in images.shape[1:3]
    )
    return images[:, rows[:, None], columns]


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


def measure_channels(data: ImageSet) -> tuple[Channels, Channels]:
    """Return the mean and standard deviation of each channel over a subset, of values in 0..1.

    From exact counts of each value, a few images at a time: 3 x 256 numbers, at any image size.
    """
    counts, values = np.zeros((3, 256), np.int64), np.arange(256)
    n_at_once = max(1, PIXELS_AT_ONCE // data.image_px**2)
    for start in range(0, len(data), n_at_once):
        pixels = data.images[data.indices[start : start + n_at_once]].reshape(-1, 3)
        counts += [np.bincount(channel, minlength=256) for channel in pixels.T]
    n_pixels = counts[0].sum()
    mean = counts @ values / (255 * n_pixels)
    squares = counts @ values**2 / (255**2 * n_pixels)
    std = np.sqrt(np.maximum(squares - mean**2, 1e-12))
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())
