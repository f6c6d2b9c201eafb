"""What benchmarks.gpu measures, piece by piece; each returns what goes into a JSON file."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_data import Recipe, Stock
from benchmarks.plain import PlainProgram, PlainWhitened
from vision.base.errors import TrainingError
from vision.data.dataset import ImageSet
from vision.models.inference import predict_logits
from vision.models.networks import ModelSpec, build_model, load_backbone, outline_model
from vision.models.pretrained import IMAGENET_CHANNELS
from vision.schema.finetune import FinetuneParams
from vision.training.baselines import Prepared, prepare_baseline
from vision.training.checkpoints import Checkpoint
from vision.training.finetuning import BackbonePlan
from vision.training.loop import Trainer, fit
from vision.training.recipes import describe_model

MATRIX_SIDE = {"cuda": 8192, "cpu": 256}
PRODUCTS, ROUNDS = 10, 5  # products in a row, and how often; the median round counts
PROFILED_STEPS = 12
KERNELS = 10
LONG = 1000  # epochs that a profiled schedule has room for
# By the recipe that it has the network, the batches and the augmentation of.
PLAIN: dict[str, type[PlainProgram]] = {"whitened-cnn": PlainWhitened, "paper": PlainProgram}
MOST_WORKERS = 8  # of the plain program's DataLoader
JUDGED_AT_ONCE = 256  # images

Left = Callable[[], float]  # -> seconds until the budget ends


class OutOfTimeError(TrainingError):
    """A training would take longer than there is time."""


def measure_ceilings() -> dict[str, float]:
    """Return the FLOP/s of a large product of random matrices, by precision."""
    return {
        "bf16": _measure_product(torch.bfloat16, "highest"),
        "tf32": _measure_product(torch.float32, "high"),  # torch's name for TF32
        "fp32": _measure_product(torch.float32, "highest"),
    }


def _measure_product(dtype: torch.dtype, precision: str) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = MATRIX_SIDE[device]
    # Random: on zeros or ones a GPU draws less power, and is faster than on any data.
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        seconds = [
            _time(lambda: [left @ right for _ in range(PRODUCTS)]) for _ in range(1 + ROUNDS)
        ]
    finally:
        torch.set_float32_matmul_precision(before)
    return 2 * side**3 * PRODUCTS / median(seconds[1:])  # the first round warms up


Open = Callable[[tuple[float, ...]], Checkpoint]  # shares of the arithmetic after each epoch ->
Keep = Callable[[str, np.ndarray], None]  # subset, (n, classes) logits ->


@dataclass(frozen=True)
class Deadline(Checkpoint):
    """Keeps nothing: ends a training, after an epoch, that could not end in time.

    Args:
        shares: of the training's arithmetic that is done after each epoch, 0..1.
    """

    left: Left = time.monotonic
    shares: tuple[float, ...] = ()

    def save(self, state: dict[str, Any]) -> None:
        share = self.shares[len(state["history"]) - 1]
        rest = state["seconds"] * (1 / share - 1)
        if rest > (left := self.left()):
            raise OutOfTimeError(f"would take {rest:.0f} s more, {left:.0f} s were left")


def train_recipe(name: str, seed: int, stock: Stock, left: Left) -> dict[str, Any]:
    """Train once, as far as the time that is left allows."""
    return train(name, seed, stock, lambda shares: Deadline(None, left, shares))


def train(
    name: str, seed: int, stock: Stock, open_checkpoint: Open, keep: Keep = lambda *_: None
) -> dict[str, Any]:
    """Train once, as the stage does; judge the epoch that validates best on val and test.

    Args:
        keep: is given what that epoch's logits are, of val and of test.
    """
    started, params = time.perf_counter(), stock.recipes[name]
    forget_memory()
    torch.manual_seed(seed)
    spec, build, plan = prepare(params, stock)
    model, flops = build(), count_epoch_flops(spec, params, len(stock.train))
    checkpoint = open_checkpoint(tuple(done / sum(flops) for done in accumulate(flops)))
    fitted = fit(model, spec, stock.train, stock.val, params, seed, plan, checkpoint)
    memory = read_memory()
    model.load_state_dict(fitted.best_state)
    accuracies = {}  # the last reading of `test` is the only one: nothing is chosen after it
    for subset, data in (("val", stock.val), ("test", stock.test)):
        logits = predict_logits(model, spec, data, JUDGED_AT_ONCE, "")
        accuracies[subset] = float((logits.argmax(1) == data.get_labels()).mean())
        keep(subset, logits)
    return {
        "recipe": name,
        "seed": seed,
        "params": params.model_dump(mode="json"),
        "accuracy": accuracies,  # by all views of the recipe
        "best_epoch": fitted.best.epoch,
        "history": [asdict(epoch) for epoch in fitted.history],
        "images_per_second": fitted.images_per_second,
        "train_seconds": len(stock.train) * params.epochs / fitted.images_per_second,
        "fit_seconds": fitted.seconds,
        "whole_seconds": time.perf_counter() - started,
        "flops": sum(flops),
        "memory": memory,
    }


def prepare(params: Recipe, stock: Stock) -> Prepared:
    if not isinstance(params, FinetuneParams):
        return prepare_baseline(params, stock.train)
    channels = IMAGENET_CHANNELS if stock.weights else None
    spec = describe_model(
        params.architecture, params, stock.train, channels, **params.get_options()
    )

    def build() -> nn.Module:
        model = build_model(spec)
        if stock.weights:
            load_backbone(model, spec, stock.weights)
        return model

    return Prepared(spec, build, BackbonePlan(params))


def count_epoch_flops(spec: ModelSpec, params: Recipe, n_train: int) -> list[float]:
    """Return the operations of each epoch's training, 2 for a multiplication with its addition."""
    sides = params.px_by_epoch or [spec.input_px] * params.epochs
    flops = {px: count_flops(replace(spec, input_px=px)) for px in set(sides)}
    return [flops[px] * n_train for px in sides]


def count_flops(spec: ModelSpec) -> float:
    """Return those of a step, forward and backward, per image; shapes alone are computed."""
    model = outline_model(spec)
    images = torch.zeros(2, 3, spec.input_px, spec.input_px, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return float(counter.get_total_flops()) / len(images)


def time_plain(name: str, stock: Stock) -> dict[str, Any]:
    """Time an epoch of a plain program by its number of workers, and what the recipe would take."""
    counts = (0,) if stock.is_tiny else (0, min(MOST_WORKERS, os.cpu_count() or 1))
    torch.set_deterministic_debug_mode("default")  # a notebook does not ask for it
    params = stock.recipes[name]
    rows = [_time_plain(PLAIN[name], stock, params, workers) for workers in counts]
    return {"epochs": params.epochs, "batch_size": params.batch_size, "programs": rows}


def _time_plain(
    program: type[PlainProgram], stock: Stock, params: Recipe, workers: int
) -> dict[str, float]:
    train, val = (
        program(data, data.image_px, params.batch_size, workers)
        for data in (stock.train, stock.val)
    )
    few = take_steps(stock.train, params.batch_size)
    program(few, few.image_px, params.batch_size, workers).train_epoch()  # warms up
    epoch, judging = _time(train.train_epoch), _time(val.evaluate)
    return {
        "workers": workers,
        "images_per_second": len(stock.train) / epoch,
        "train_seconds": params.epochs * epoch,
        "fit_seconds": params.epochs * (epoch + judging),
    }


def profile_recipe(name: str, stock: Stock) -> dict[str, Any]:
    """Time some steps at the recipe's last size, and the kernels that they start."""
    params = stock.recipes[name].model_copy(update={"epochs": LONG, "px_by_epoch": None})
    few = take_steps(stock.train, params.batch_size)
    forget_memory()
    spec, build, plan = prepare(params, stock)
    trainer = Trainer(build(), spec, few, params, 0, plan)

    def train() -> None:
        trainer.train_epoch(1, "")

    train()  # warms up
    seconds = _time(train)
    has_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * has_gpu]
    with profile(activities=activities, acc_events=True) as profiler:  # torch 2.11 warns else
        train()
    kernels = list_kernels(profiler.key_averages(), has_gpu)
    total = sum(kernel["ms"] for kernel in kernels)
    return {
        "recipe": name,
        "steps": trainer.steps_per_epoch,
        "batch_size": params.batch_size,
        "input_px": spec.input_px,
        "step_ms": 1000 * seconds / trainer.steps_per_epoch,  # without the profiler
        "kernel_ms": total / trainer.steps_per_epoch,
        "kernels": [
            kernel | {"ms": kernel["ms"] / trainer.steps_per_epoch, "share": kernel["ms"] / total}
            for kernel in kernels[:KERNELS]
        ],
    }


def list_kernels(averages: Any, has_gpu: bool) -> list[dict[str, Any]]:
    """Return name, calls and total ms of what ran on the device, the longest first.

    Args:
        averages: what torch.profiler's key_averages() gives; ranges that a program named, such
            as `Optimizer.step`, span kernels and are none. On a CPU operators stand for kernels.
    """
    rows = []
    for event in averages:
        on_gpu = event.device_type.name == "CUDA"
        if on_gpu == has_gpu and not getattr(event, "is_user_annotation", False):
            us = event.self_device_time_total if has_gpu else event.self_cpu_time_total
            rows.append({"name": event.key, "calls": event.count, "ms": us / 1000})
    return sorted(rows, key=lambda row: -row["ms"])


def take_steps(data: ImageSet, batch_size: int) -> ImageSet:
    """Return the images of some steps."""
    return replace(data, indices=data.indices[: PROFILED_STEPS * batch_size])


def forget_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def read_memory() -> dict[str, int] | None:
    """Return the peaks since `forget_memory`, in bytes, or None without a GPU."""
    if not torch.cuda.is_available():
        return None
    return {
        "allocated": torch.cuda.max_memory_allocated(),  # by tensors
        "reserved": torch.cuda.max_memory_reserved(),  # by torch, to have some at hand
    }


def _time(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
