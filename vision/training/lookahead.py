"""Lookahead: slow weights that follow those that train, which go on from them every few steps.

Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back" (2019). What the slow ones keep at
each meeting, which grows in the course of a training, is that of Keller Jordan's airbench94.
"""

import torch
from torch import Tensor, nn

KEPT = 0.95  # by step, at the end of a training
POWER = 3  # by which that grows until then


class Lookahead:
    """The slow weights of a network, batch norm's running statistics among them.

    Args:
        every: so many steps they meet.
        steps: of the whole training; after the last the network has the slow weights.
    """

    def __init__(self, model: nn.Module, every: int, steps: int) -> None:
        self.fast = [each for each in model.state_dict().values() if each.is_floating_point()]
        self.slow = [each.clone() for each in self.fast]
        self.every, self.steps = every, steps

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Let both meet, where it is time: after so many steps."""
        if step % self.every == 0:
            kept = KEPT**self.every * (step / self.steps) ** POWER
            torch._foreach_lerp_(self.slow, self.fast, 1 - kept)
        elif step < self.steps:
            return
        torch._foreach_copy_(self.fast, self.slow)

    def go_on_from(self, slow: list[Tensor]) -> None:
        """Take the slow weights of a training that was ended."""
        for mine, saved in zip(self.slow, slow, strict=True):
            mine.copy_(saved)
