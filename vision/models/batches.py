"""Batches of images as tensor operations on whole batches; images stay uint8 until they are used.

A PIL-based DataLoader spends more time per small image than the network does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vision.data.dataset import ImageSet
from vision.models.averages import Channels
from vision.models.networks import ModelSpec
from vision.models.sizes import resize

HELD_SHARE = 0.25  # of a GPU's free memory that training images may take
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
    return Batch(send(images, device), send(torch.from_numpy(data.labels[rows]), device))


@dataclass(frozen=True)
class Held:
    """All images of a subset in the memory of a device."""

    images: Tensor  # (n, H, W, 3) uint8
    labels: Tensor  # (n,) int64

    @classmethod
    def take(cls, data: ImageSet, device: torch.device) -> "Held":
        """Copy them, a few at a time."""
        shape = (len(data), *data.images.shape[1:])
        images = torch.empty(shape, dtype=torch.uint8, device=device)
        n_at_once = max(1, PIXELS_AT_ONCE // data.image_px**2)
        for some in torch.arange(len(data)).split(n_at_once):
            images[some[0] : some[-1] + 1] = read_batch(data, some, device).images
        return cls(images, torch.from_numpy(data.get_labels()).to(device))

    def read(self, positions: Tensor) -> Batch:
        """Return the images at these positions, (B,)."""
        places = send(positions, self.images.device)
        return Batch(self.images[places], self.labels[places])


def can_hold(data: ImageSet, device: torch.device) -> bool:
    """Say whether a subset fits into a GPU's memory, beside the network that it trains."""
    return has_room(len(data) * 3 * data.image_px**2, device)


def has_room(n_bytes: int, device: torch.device) -> bool:
    """Say whether a GPU has room for so much beside a network that trains; false of a CPU."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= HELD_SHARE * free


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device, which need not have finished what it does."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


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
    mean = send(torch.tensor(spec.mean), images.device)
    std = send(torch.tensor(spec.std), images.device)
    scaled = (images.float() / 255 - mean) / std
    x = scaled.permute(0, 3, 1, 2)  # a view: channels_last in memory, as convolutions like it
    return resize(x, spec.input_px)


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
