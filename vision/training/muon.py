"""Muon: steps that turn the filters of convolutions, all directions alike; SGD for other weights.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); torch.optim.Muon
takes matrices alone. The steps and the length of the filters are those of Jordan's airbench94.
"""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import SGD

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that is iterated
ITERATIONS = 3
SMALLEST_NORM = 1e-7


class Muon(SGD):
    """SGD, but for groups of weights with `muon_momentum`, which are filters, (O, I, K, K).

    Their gradients are replaced by Muon's step, which SGD then takes: such groups have neither
    momentum nor decay of SGD's own.
    """

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        for group in self.param_groups:
            if momentum := group.get("muon_momentum"):
                for filters in group["params"]:
                    if filters.grad is not None:
                        self._turn(filters, filters.grad, momentum)
        loss: float | None = super().step(closure)
        return loss

    def _turn(self, filters: Tensor, gradient: Tensor, momentum: float) -> None:
        """Put the step in place of the gradient, and give the filters their length again."""
        state: dict[str, Any] = self.state[filters]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(filters)
        buffer: Tensor = state["momentum_buffer"].mul_(momentum).add_(gradient)
        ahead = gradient.add(buffer, alpha=momentum)  # Nesterov
        gradient.copy_(orthogonalise(ahead.flatten(1)).view(filters.shape))
        filters.mul_(len(filters) ** 0.5 / filters.norm().clamp(min=SMALLEST_NORM))


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring the singular values of (O, I) near to 1, by Newton and Schulz's iteration."""
    a, b, c = COEFFICIENTS
    x = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=SMALLEST_NORM)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if len(matrix) > matrix.shape[1] else x
