"""Optimisers and the course of their learning rate."""

import math
from functools import partial
from typing import Any

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
)

from vision.schema.recipes import OptimizerParams

SHORTEST_CYCLE = 3  # steps: up, peak, down
CYCLE_WARMUP = 0.25  # share of the steps of a one-cycle schedule, unless a recipe says another


def build_optimizer(groups: list[dict[str, Any]], params: OptimizerParams) -> Optimizer:
    """Return torch's fused optimiser; frozen weights get no gradient and stay.

    Args:
        groups: weights under `params`, and under `lr` their rate where it is another.
    """
    rate, decay = params.learning_rate, params.weight_decay
    match params.optimizer:
        case "sgd":
            return SGD(
                groups,
                rate,
                momentum=params.momentum,
                nesterov=params.nesterov,
                weight_decay=decay,
                fused=True,
            )
        case "adam":
            return Adam(groups, rate, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(groups, rate, weight_decay=decay, fused=True)


def build_schedule(optimizer: Optimizer, params: OptimizerParams, steps: int) -> LRScheduler:
    """Return a schedule of the learning rates that advances with each of `steps` batches."""
    match params.schedule:
        case "constant":
            return ConstantLR(optimizer, factor=1.0)
        case "cosine" if params.warmup:
            rise = int(params.warmup * steps)
            return LambdaLR(optimizer, partial(_rise_and_fall, rise=rise, steps=steps))
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=steps)
        case "one-cycle" if steps < SHORTEST_CYCLE:
            return ConstantLR(optimizer, factor=1.0)
        case "one-cycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            warmup = max(params.warmup or CYCLE_WARMUP, 2 / steps)
            return OneCycleLR(optimizer, peaks, steps, pct_start=warmup, cycle_momentum=False)


def _rise_and_fall(step: int, rise: int, steps: int) -> float:
    """Return a factor of the rate: up a line for `rise` steps, then down a cosine towards 0."""
    if step < rise:
        return (step + 1) / (rise + 1)
    return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
