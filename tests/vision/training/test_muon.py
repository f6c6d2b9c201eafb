"""Muon turns filters by orthogonal steps; all other weights go by SGD."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from vision.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalise

FILTERS = {"muon_momentum": 0.6, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def iterate(value: float) -> float:
    """Return what becomes of a singular value."""
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        value = a * value + b * value**3 + c * value**5
    return value


def build(*shape: int) -> tuple[nn.Parameter, Muon]:
    """Return filters of ones, and what moves them at a rate of 0.1."""
    filters = nn.Parameter(torch.ones(*shape))
    return filters, Muon([{"params": [filters], **FILTERS}], 0.1, fused=True)


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)])
def test_a_step_turns_all_directions_about_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_a_single_filter_moves_along_its_gradient_from_a_length_of_one() -> None:
    filters, optimizer = build(1, 4, 1, 1)
    filters.grad = torch.tensor([3.0, 0.0, 0.0, 4.0]).view(1, 4, 1, 1)
    optimizer.step()
    step = 0.1 * iterate(1.0)
    expected = [0.5 - step * 0.6, 0.5, 0.5, 0.5 - step * 0.8]
    assert filters.flatten().tolist() == pytest.approx(expected)


def test_the_second_step_looks_ahead_by_the_momentum_of_the_first() -> None:
    """0.6 of the first is left; of the sum 0.6 is added to the gradient again."""
    filters, optimizer = build(1, 2, 1, 1)
    for gradient in ([1.0, 0.0], [0.0, 1.0]):
        filters.grad = torch.tensor(gradient).view(1, 2, 1, 1)
        before = filters.detach() / filters.detach().norm()
        optimizer.step()
    step = (before - filters.detach()).flatten() / (0.1 * iterate(1.0))
    ahead = torch.tensor([0.6 * 0.6, 1 + 0.6])
    assert step.tolist() == pytest.approx((ahead / ahead.norm()).tolist(), rel=1e-4)


def test_filters_have_their_length_again_before_each_step() -> None:
    filters, optimizer = build(9, 2, 3, 3)
    filters.grad = torch.zeros_like(filters)
    optimizer.step()
    assert filters.norm().item() == pytest.approx(3.0)


def test_filters_without_a_gradient_stay() -> None:
    filters, optimizer = build(2, 2, 3, 3)
    optimizer.step()
    assert torch.equal(filters, torch.ones(2, 2, 3, 3))


def test_other_weights_go_by_sgd() -> None:
    layers = nn.Linear(3, 2), nn.Linear(3, 2)
    layers[1].load_state_dict(layers[0].state_dict())
    settings = {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}
    for layer, kind in zip(layers, (Muon, SGD), strict=True):
        optimizer = kind(layer.parameters(), **settings)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    assert torch.equal(layers[0].weight, layers[1].weight)
