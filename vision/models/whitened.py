"""A small network that learns fast from scratch: its first layer is computed from the images.

After Keller Jordan's airbench94 with Muon (github.com/KellerJordan/cifar10-airbench) and his "94%
on CIFAR-10 in 3.29 Seconds" (2024).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX = 2  # side
PATCH_VALUES = 3 * PATCH_PX**2
SMALLEST_VARIANCE = 5e-4  # added to that of each component: airbench94


class WhitenedCNN(nn.Module):
    """A whitening convolution, three blocks of convolutions, dense.

    Args:
        widths: channels after each block.
        convolutions: of a block; from the second on, three have a way around them.
        batch_norm_momentum: share of a batch in the running statistics.
    """

    def __init__(
        self,
        n_classes: int,
        input_px: int,
        widths: list[int],
        convolutions: int = 2,
        batch_norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 2 * PATCH_VALUES, PATCH_PX)
        self.whiten.weight.requires_grad_(False)
        self.activate = nn.GELU()
        blocks, side = [], input_px + 1 - PATCH_PX
        for n_in, n_out in zip([2 * PATCH_VALUES, *widths], widths, strict=False):
            pool = min(2, side)  # of a tiny image one pixel may be left
            blocks.append(Block(n_in, n_out, convolutions, pool, batch_norm_momentum))
            side //= pool
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.MaxPool2d(side)
        self.head = nn.Linear(widths[-1], n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activate(self.whiten(x))  # (B, 3, P, P) -> (B, 24, P - 1, P - 1)
        x = self.pool(self.blocks(x)).flatten(1)  # (B, width)
        logits: Tensor = self.head(x) / x.shape[1]
        return logits


class Block(nn.Module):
    """A convolution and a maximum over the neighbours, then one or two more convolutions."""

    def __init__(
        self, n_in: int, n_out: int, convolutions: int, pool: int, batch_norm_momentum: float
    ) -> None:
        super().__init__()

        def normalise() -> nn.BatchNorm2d:
            layer = nn.BatchNorm2d(n_out, momentum=batch_norm_momentum)
            layer.weight.requires_grad_(False)  # stays 1
            return layer

        self.enter = nn.Sequential(
            begin_as_identity(n_in, n_out), nn.MaxPool2d(pool), normalise(), nn.GELU()
        )
        rest = [begin_as_identity(n_out, n_out), normalise()]
        for _ in range(convolutions - 2):
            rest += [nn.GELU(), begin_as_identity(n_out, n_out), normalise()]
        self.rest = nn.Sequential(*rest)
        self.has_way_around = convolutions > 2
        self.activate = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        y = self.rest(x)
        out: Tensor = self.activate(x + y if self.has_way_around else y)
        return out


def begin_as_identity(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a convolution 3x3 whose first filters hand on what comes in, one channel each."""
    layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:n_in])
    return layer


def whiten_patches(batches: Iterable[Tensor]) -> Tensor:
    """Return filters whose outputs are uncorrelated and alike in size on the patches of images.

    These are the principal components of the patches, each over its standard deviation, and their
    negatives.

    Args:
        batches: normalised images, (B, 3, P, P).

    Returns:
        (24, 3, 2, 2) float32.
    """
    moments, count = torch.zeros(PATCH_VALUES, PATCH_VALUES, dtype=torch.float64), 0
    for x in batches:
        patches = functional.unfold(x, PATCH_PX).transpose(1, 2)  # (B, places, 12)
        rows = patches.reshape(-1, PATCH_VALUES).double()
        moments += rows.T @ rows
        count += len(rows)
    variances, columns = torch.linalg.eigh(moments / count)
    components = columns.T.flip(0)  # the largest variance first
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = components * largest.sign()  # either sign is one: take always the same
    filters: Tensor = components / (variances.flip(0)[:, None] + SMALLEST_VARIANCE).sqrt()
    return torch.cat([filters, -filters]).float().view(-1, 3, PATCH_PX, PATCH_PX)
