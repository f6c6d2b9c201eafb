"""Trained networks that decide together: the mean of their logits.

For each image the mean of logits is that of the log-probabilities but for a constant, so both
give the same probabilities. How each network is judged, by which views, is up to inference.py.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.models.sizes import resize

Channels = tuple[float, ...]  # a value for each of red, green and blue


class Feed(NamedTuple):
    """How a network wants its images."""

    mean: Channels  # of values in 0..1
    std: Channels
    px: int  # side


class Average(nn.Module):
    """Networks side by side: one view of images, (B, 3, P, P) -> (B, classes) mean logits.

    Args:
        members: that the mean is of.
        feeds: of each of them; images are resized to it, and normalised anew.
        shares: of each of them in the mean.
        feed: of the images that this network is given.
    """

    def __init__(
        self,
        members: Iterable[nn.Module],
        feeds: Iterable[Feed],
        shares: Iterable[float],
        feed: Feed,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.feeds, self.shares, self.feed = tuple(feeds), tuple(shares), feed

    def forward(self, images: Tensor) -> Tensor:
        found = [
            share * member(self._prepare(images, feed)).float()
            for member, feed, share in zip(self.members, self.feeds, self.shares, strict=True)
        ]
        return torch.stack(found).sum(0)

    def _prepare(self, images: Tensor, feed: Feed) -> Tensor:
        if (feed.mean, feed.std) != (self.feed.mean, self.feed.std):
            mean, std, own_mean, own_std = (
                torch.tensor(values, device=images.device)[:, None, None]
                for values in (feed.mean, feed.std, self.feed.mean, self.feed.std)
            )
            images = (images * own_std + own_mean - mean) / std
        return resize(images, feed.px)
