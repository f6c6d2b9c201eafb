"""Slow weights follow the trained ones, as a plain program of the same rule has them."""

import pytest
import torch
from torch import nn

from vision.training.lookahead import Lookahead

GRADIENTS = [1.0, -2.0, 0.5, 3.0, -1.0, 2.0, 0.25]
RATE, EVERY = 0.1, 3


def descend_plainly(weight: float) -> list[float]:
    """Return the weight after each step, by numbers alone."""
    slow, found, steps = weight, [], len(GRADIENTS)
    for step, gradient in enumerate(GRADIENTS, 1):
        weight -= RATE * gradient
        if step % EVERY == 0:
            kept = 0.95**EVERY * (step / steps) ** 3
            slow = kept * slow + (1 - kept) * weight
            weight = slow
        if step == steps:
            weight = slow
        found.append(weight)
    return found


def test_weights_go_as_a_plain_program_lets_them() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    with torch.no_grad():
        model.weight.fill_(1.0)
    lookahead, found = Lookahead(model, EVERY, len(GRADIENTS)), []
    for step, gradient in enumerate(GRADIENTS, 1):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        lookahead.update(step)
        found.append(model.weight.item())
    assert found == pytest.approx(descend_plainly(1.0), rel=1e-6)


def test_running_statistics_take_part_and_counters_do_not() -> None:
    norm = nn.BatchNorm1d(1)
    lookahead = Lookahead(norm, 1, 2)
    norm.running_mean.fill_(8.0)
    norm.num_batches_tracked.fill_(5)
    lookahead.update(1)
    kept = 0.95 * 0.5**3
    assert norm.running_mean.item() == pytest.approx((1 - kept) * 8)
    assert norm.num_batches_tracked.item() == 5


def test_weights_that_do_not_train_stay_as_they_are() -> None:
    model = nn.Linear(64, 64)
    before = model.weight.detach().clone()
    lookahead = Lookahead(model, 1, 10)
    for step in range(1, 11):
        lookahead.update(step)
    assert torch.equal(model.weight, before)
