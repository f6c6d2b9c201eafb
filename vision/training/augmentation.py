"""Random changes to training images: drawn on the CPU, applied to whole batches on the device."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vision.models.batches import reflect
from vision.models.networks import Channels
from vision.schema.recipes import AugmentParams


@dataclass(frozen=True)
class Draws:
    """What happens to each of B images; on the CPU, so that every device sees the same."""

    shifts: Tensor | None = None  # (2, B, 1) int64: pixels down and to the right
    mirrored: Tensor | None = None  # (B, 1) bool
    corners: Tensor | None = None  # (2, B, 1) int64: top and left of the square that is cut out

    def take(self, share: slice) -> "Draws":
        """Return the draws of some of the images."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Draws(**{k: v if v is None else v[..., share, :] for k, v in parts.items()})


class Augmenter:
    """Draws for one batch after the other, from one generator."""

    def __init__(self, params: AugmentParams, n_images: int, generator: torch.Generator) -> None:
        self.params = params
        self.generator = generator
        self.coins = self._toss(n_images) if params.alternate_flip else None

    def draw(self, positions: Tensor, epoch: int, image_px: int) -> Draws:
        """Draw for the images at these positions, (B,), of the training images.

        With `alternate_flip` an image is mirrored in every other epoch, so that each pair of
        epochs shows both of its sides: Jordan, "94% on CIFAR-10 in 3.29 Seconds" (2024), 3.6.
        """
        params, count, shifts, mirrored, corners = self.params, len(positions), None, None, None
        if params.crop_padding_px or params.flip:
            reach = params.crop_padding_px
            shifts = torch.randint(-reach, reach + 1, (2, count, 1), generator=self.generator)
        if self.coins is not None:
            mirrored = (self.coins[positions] ^ bool(epoch % 2))[:, None]
        elif params.flip:
            mirrored = self._toss(count)[:, None]
        if params.cutout_px:
            centres = torch.randint(0, image_px, (2, count, 1), generator=self.generator)
            corners = centres - params.cutout_px // 2
        return Draws(shifts, mirrored, corners)

    def apply(self, images: Tensor, draws: Draws, mean: Channels) -> Tensor:
        """Change (B, H, W, 3) uint8 images as drawn; `mean`, of values in 0..1, fills holes."""
        if draws.shifts is not None:
            images = shift_and_mirror(images, draws.shifts, draws.mirrored)
        if draws.corners is not None:
            images = cut_out(images, draws.corners, self.params.cutout_px, mean)
        return images

    def _toss(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator) < 0.5


def shift_and_mirror(images: Tensor, shifts: Tensor, mirrored: Tensor | None) -> Tensor:
    """Shift each image, reflecting at the border, then mirror those that are to be."""
    count, height, width, _ = images.shape
    rows = reflect(torch.arange(height) + shifts[0], height)  # (B, H)
    columns = reflect(torch.arange(width) + shifts[1], width)  # (B, W)
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    image = torch.arange(count, device=images.device)[:, None, None]
    return images[image, rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, corners: Tensor, side_px: int, mean: Channels) -> Tensor:
    """Fill a square of each image with the mean colour: DeVries and Taylor (2017)."""
    _, height, width, _ = images.shape
    corners = corners.to(images.device)
    rows = torch.arange(height, device=images.device) - corners[0]  # (B, H)
    columns = torch.arange(width, device=images.device) - corners[1]  # (B, W)
    inside = [(place >= 0) & (place < side_px) for place in (rows, columns)]
    hole = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]  # (B, H, W, 1)
    colour = torch.tensor(mean, device=images.device).mul(255).round().to(torch.uint8)
    return torch.where(hole, colour, images)
