"""Random changes to training images: drawn on the CPU, applied to whole batches on the device."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision.models.averages import Channels
from vision.models.batches import reflect, send
from vision.schema.recipes import AugmentParams

LONGEST = 4 / 3  # aspect of a crop, either way
ERASED = (0.02, 1 / 3)  # share of an image that is erased, from and to
LONGEST_ERASED = 3.3  # aspect of what is erased, either way
SEEDS = 2**31


@dataclass(frozen=True)
class Draws:
    """What happens to each of B images; on the CPU, so that every device sees the same."""

    shifts: Tensor | None = None  # (2, B, 1) int64: pixels down and to the right
    mirrored: Tensor | None = None  # (B, 1) bool
    corners: Tensor | None = None  # (2, B, 1) int64: top and left of the square that is cut out
    boxes: Tensor | None = None  # (4, B, 1) in 0..1: left, top, right and bottom of the crop
    seeds: Tensor | None = None  # (B, 1) int64: of the change of colour or shape
    erased: Tensor | None = None  # (4, B, 1) in 0..1: left, top, right and bottom; all 0: nothing

    def take(self, share: slice) -> "Draws":
        """Return the draws of some of the images."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Draws(**{k: v if v is None else v[..., share, :] for k, v in parts.items()})

    def roll(self) -> "Draws":
        """Return for each image what happens to the one before it; for the first, to the last."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Draws(**{k: v if v is None else v.roll(1, -2) for k, v in parts.items()})


@dataclass(frozen=True)
class Mix:
    """How each image of a batch is mixed with the one before it."""

    share: float  # that an image keeps of itself
    box: tuple[float, float, float, float] | None = None  # left, top, right and bottom, in 0..1

    def apply(self, x: Tensor, others: Tensor) -> tuple[Tensor, float]:
        """Return (B, 3, P, P) mixed, and the share that is left of each image."""
        if self.box is None:
            return x * self.share + others * (1 - self.share), self.share
        height, width = x.shape[2:]
        left, right = (round(place * width) for place in self.box[::2])
        top, bottom = (round(place * height) for place in self.box[1::2])
        mixed = x.clone()
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / (height * width)


class Augmenter:
    """Draws for one batch after the other, from one generator."""

    def __init__(self, params: AugmentParams, n_images: int, generator: torch.Generator) -> None:
        self.params = params
        self.generator = generator
        self.coins = self._toss(n_images) if params.alternate_flip else None
        self.change = build_change(params.auto_augment)

    def draw(self, positions: Tensor, epoch: int, image_px: int) -> Draws:
        """Draw for the images at these positions, (B,), of the training images.

        With `alternate_flip` an image is mirrored in every other epoch, so that each pair of
        epochs shows both of its sides: Jordan, "94% on CIFAR-10 in 3.29 Seconds" (2024), 3.6.
        """
        params, count, found = self.params, len(positions), dict[str, Tensor]()
        if params.crop_padding_px or params.flip:
            reach = params.crop_padding_px
            found["shifts"] = torch.randint(
                -reach, reach + 1, (2, count, 1), generator=self.generator
            )
        if self.coins is not None:
            found["mirrored"] = (self.coins[positions] ^ bool(epoch % 2))[:, None]
        elif params.flip:
            found["mirrored"] = self._toss(count)[:, None]
        if params.cutout_px:
            centres = torch.randint(0, image_px, (2, count, 1), generator=self.generator)
            found["corners"] = centres - params.cutout_px // 2
        if params.crop_scale:
            found["boxes"] = self._draw_boxes(count, (params.crop_scale, 1), LONGEST)
        if params.auto_augment:
            found["seeds"] = torch.randint(SEEDS, (count, 1), generator=self.generator)
        if params.erase:
            boxes = self._draw_boxes(count, ERASED, LONGEST_ERASED)
            found["erased"] = boxes * (self._draw(count) < params.erase)[None]
        return Draws(**found)

    def draw_mix(self) -> Mix | None:
        """Draw how the images of a batch are mixed; one of the two ways, where a recipe has both.

        Zhang et al., "mixup" (2018); Yun et al., "CutMix" (2019).
        """
        ways = [alpha for alpha in (self.params.mixup, self.params.cutmix) if alpha]
        if not ways:
            return None
        rng = np.random.default_rng(int(torch.randint(SEEDS, (1,), generator=self.generator)))
        is_cut = bool(self.params.cutmix) and (len(ways) == 1 or rng.random() < 0.5)
        alpha = self.params.cutmix if is_cut else self.params.mixup
        share = rng.beta(alpha, alpha)
        share = max(share, 1 - share)  # an image stays the greater part of itself
        if not is_cut:
            return Mix(share)
        half, (x, y) = (1 - share) ** 0.5 / 2, rng.random(2)
        ends = (max(0.0, x - half), max(0.0, y - half), min(1.0, x + half), min(1.0, y + half))
        return Mix(share, ends)

    def apply(self, images: Tensor, draws: Draws, mean: Channels, input_px: int) -> Tensor:
        """Change (B, H, W, 3) uint8 images as drawn; `mean`, of values in 0..1, fills holes.

        Args:
            input_px: side of what a crop is resized to.
        """
        if draws.boxes is not None:
            images = crop(images, draws.boxes, input_px)
        if draws.shifts is not None:
            images = shift_and_mirror(images, draws.shifts, draws.mirrored)
        if draws.seeds is not None:
            images = change_each(images, draws.seeds, self.change)
        if draws.corners is not None:
            images = cut_out(images, draws.corners, self.params.cutout_px, mean)
        if draws.erased is not None:
            images = erase(images, draws.erased, mean)
        return images

    def _toss(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator) < 0.5

    def _draw(self, count: int) -> Tensor:
        return torch.rand((count, 1), generator=self.generator)

    def _draw_boxes(self, count: int, scale: tuple[float, float], longest: float) -> Tensor:
        """Return boxes of a random share of the image, aspect and place: (4, B, 1) in 0..1.

        As torchvision draws them, but for those that would not fit, which become narrower.
        """
        area = scale[0] + (scale[1] - scale[0]) * self._draw(count)
        aspect = longest ** (2 * self._draw(count) - 1)
        width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        left, top = (1 - width) * self._draw(count), (1 - height) * self._draw(count)
        return torch.stack([left, top, left + width, top + height])


def build_change(name: str | None) -> Any:
    """Return torchvision's transform of one image: TrivialAugment (2021) or RandAugment (2020)."""
    if name is None:
        return None
    from torchvision.transforms import v2  # here alone: it takes a second

    return v2.TrivialAugmentWide() if name == "trivial" else v2.RandAugment()


def change_each(images: Tensor, seeds: Tensor, change: Any) -> Tensor:
    """Change the colour or shape of each of (B, H, W, 3) uint8 images, by a seed of its own."""
    changed = []
    before = torch.get_rng_state()
    for image, seed in zip(images.permute(0, 3, 1, 2), seeds[:, 0].tolist(), strict=True):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, by which torchvision draws
        changed.append(change(image))
    torch.set_rng_state(before)
    return torch.stack(changed).permute(0, 2, 3, 1) if changed else images


def crop(images: Tensor, boxes: Tensor, side_px: int) -> Tensor:
    """Cut a box out of each image and resize it: (B, H, W, 3) -> (B, P, P, 3), uint8."""
    from torchvision.ops import roi_align  # here alone: it takes a second

    count, height, width, _ = images.shape
    scale = torch.tensor([width, height, width, height])
    corners = send(boxes[..., 0].T.mul(scale), images.device)
    numbers = torch.arange(count, device=images.device, dtype=corners.dtype)[:, None]
    maps = images.permute(0, 3, 1, 2).to(corners.dtype)
    size = (side_px, side_px)
    cropped: Tensor = roi_align(maps, torch.cat([numbers, corners], 1), size, aligned=True)
    return cropped.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def shift_and_mirror(images: Tensor, shifts: Tensor, mirrored: Tensor | None) -> Tensor:
    """Shift each image, reflecting at the border, then mirror those that are to be."""
    count, height, width, _ = images.shape
    rows = reflect(torch.arange(height) + shifts[0], height)  # (B, H)
    columns = reflect(torch.arange(width) + shifts[1], width)  # (B, W)
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = send(rows, images.device), send(columns, images.device)
    image = torch.arange(count, device=images.device)[:, None, None]
    return images[image, rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, corners: Tensor, side_px: int, mean: Channels) -> Tensor:
    """Fill a square of each image with the mean colour: DeVries and Taylor (2017)."""
    return _fill(images, corners, corners + side_px, mean)


def erase(images: Tensor, boxes: Tensor, mean: Channels) -> Tensor:
    """Fill a rectangle of each image with the mean colour: Zhong et al. (2017)."""
    _, height, width, _ = images.shape
    scale = torch.tensor([width, height, width, height])[:, None, None]
    left, top, right, bottom = (boxes * scale).round().long()
    return _fill(images, torch.stack([top, left]), torch.stack([bottom, right]), mean)


def _fill(images: Tensor, starts: Tensor, ends: Tensor, mean: Channels) -> Tensor:
    """Fill a rectangle of each image; (2, B, 1) int64 rows and columns, the ends left out."""
    _, height, width, _ = images.shape
    starts, ends = send(starts, images.device), send(ends, images.device)
    rows = torch.arange(height, device=images.device)  # (B, H) once compared
    columns = torch.arange(width, device=images.device)  # (B, W)
    inside = [(place >= starts[k]) & (place < ends[k]) for k, place in enumerate((rows, columns))]
    hole = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]  # (B, H, W, 1)
    colour = send(torch.tensor(mean).mul(255).round().to(torch.uint8), images.device)
    return torch.where(hole, colour, images)
