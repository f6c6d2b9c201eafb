"""Optimisers and the course of their learning rate."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
)

from vision.schema.recipes import OptimizerParams
from vision.training.muon import Muon

SHORTEST_CYCLE = 3  # steps: up, peak, down
CYCLE_WARMUP = 0.25  # share of the steps of a one-cycle schedule, unless a recipe says another


class Kind(NamedTuple):
    """Weights that have settings of their own in the optimiser."""

    ids: set[int]
    settings: dict[str, Any]


def divide_groups(
    groups: list[dict[str, Any]], model: nn.Module, params: OptimizerParams
) -> list[dict[str, Any]]:
    """Set apart, in each group of weights, those that a recipe gives a rate of their own.

    A group that is slower than the others stays so, by the same ratio.
    """
    divided = []
    for group in groups:
        rest, ratio = group["params"], group.get("lr", params.learning_rate) / params.learning_rate
        for ids, settings in _list_kinds(model, params):
            if own := [weight for weight in rest if id(weight) in ids]:
                changes = settings | {"params": own, "lr": ratio * settings["lr"]}
                divided.append(group | changes)
            rest = [weight for weight in rest if id(weight) not in ids]
        if rest:
            divided.append(group | {"params": rest})
    return divided


def _list_kinds(model: nn.Module, params: OptimizerParams) -> Iterator[Kind]:
    """Yield filters and biases where they have rates; a step shrinks biases as it does the rest."""
    if rate := params.muon_learning_rate:
        ids = {id(weight) for weight in _list_filters(model)}
        settings = {"lr": rate, "muon_momentum": params.muon_momentum}
        yield Kind(ids, settings | {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0})
    if rate := params.bias_learning_rate:
        ids = {id(weight) for name, weight in model.named_parameters() if name.endswith("bias")}
        decay = params.weight_decay * params.learning_rate / rate
        yield Kind(ids, {"lr": rate, "weight_decay": decay})


def _list_filters(model: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of convolutions, without those of which each sees one channel alone."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            yield layer.weight


def build_optimizer(groups: list[dict[str, Any]], params: OptimizerParams) -> Optimizer:
    """Return torch's fused optimiser; frozen weights get no gradient and stay.

    Args:
        groups: weights under `params`, and under `lr` their rate where it is another.
    """
    rate, decay = params.learning_rate, params.weight_decay
    match params.optimizer:
        case "sgd" | "muon":
            kind = Muon if params.optimizer == "muon" else SGD
            sgd = kind(
                groups,
                rate,
                momentum=params.momentum,
                nesterov=params.nesterov,
                weight_decay=decay,
                fused=True,
            )
            _begin_momentum(sgd)
            return sgd
        case "adam":
            return Adam(groups, rate, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(groups, rate, weight_decay=decay, fused=True)


def _begin_momentum(optimizer: SGD) -> None:
    """Give each weight a momentum of 0; torch's fused step fails where some have none yet."""
    for group in optimizer.param_groups:
        if group["momentum"]:
            for weight in group["params"]:
                optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)


def build_schedule(optimizer: Optimizer, params: OptimizerParams, steps: int) -> LRScheduler:
    """Return a schedule of the learning rates that advances with each of `steps` batches."""
    match params.schedule:
        case "constant":
            return ConstantLR(optimizer, factor=1.0)
        case "linear":
            return LambdaLR(optimizer, partial(_fall, steps=steps))
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


def _fall(step: int, steps: int) -> float:
    """Return a factor of the rate: down a line to 0."""
    return 1 - step / steps


def _rise_and_fall(step: int, rise: int, steps: int) -> float:
    """Return a factor of the rate: up a line for `rise` steps, then down a cosine towards 0."""
    if step < rise:
        return (step + 1) / (rise + 1)
    return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
