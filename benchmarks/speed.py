"""Images per second of a plain PyTorch program and of the pipeline's loop, taking turns."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from benchmarks.plain import LEARNING_RATE, PlainProgram
from vision.base.hardware import measure_bf16_gain
from vision.data.dataset import ImageSet
from vision.models.networks import build_model
from vision.models.pretrained import IMAGENET_CHANNELS
from vision.schema.baselines import SCHEMAS
from vision.schema.finetune import FinetuneParams
from vision.training.baselines import prepare_baseline
from vision.training.finetuning import BackbonePlan
from vision.training.loop import Trainer
from vision.training.recipes import describe_model

BATCH_SIZE = 64  # the paper's recipe
LARGER_BATCH = 128  # what the optimiser's step costs is then shared by more images
PAPER = {
    "architecture": "resnet18",
    "weights": "none",
    "epochs": 1000,
    "batch_size": BATCH_SIZE,
    "optimizer": "adam",
    "learning_rate": LEARNING_RATE,
}
WORKERS = (0, 2)  # of the plain program's DataLoader
MATRIX_SIDE = 2048  # of the product that says what the machine can do
MATRIX_ROUNDS = 10

Program = PlainProgram | Trainer
Name = TypeVar("Name")


@dataclass(frozen=True)
class Rates:
    """Images per second, forward, backward and step, or forward alone; medians of the rounds."""

    train: float
    evaluate: float
    ceiling: float = math.nan  # FLOP/s of a large matrix product in the same precision, likewise
    begin: float = 0.0  # seconds per image, once: what frozen layers give, where that is kept


@dataclass(frozen=True)
class Speed:
    """Median images per second of one program at one image size."""

    program: str
    input_px: int
    train: float
    evaluate: float
    utilisation: float  # of a matrix product's FLOP/s in the same precision


def make_images(count: int, image_px: int = 32) -> ImageSet:
    """Return random images in ten classes: what is in them does not change the speed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, image_px, image_px, 3), dtype=np.uint8)
    classes = tuple("0123456789")
    return ImageSet(images, rng.integers(0, 10, count), np.arange(count), classes)


def measure_speeds(sizes: list[int], data: ImageSet, rounds: int) -> list[Speed]:
    return [speed for px in sizes for speed in _measure_size(data, px, rounds)]


def _measure_size(data: ImageSet, px: int, rounds: int) -> list[Speed]:
    programs: dict[str, Program] = dict(build_plain_programs(data, px))
    for name, changes in list_variants().items():
        programs[name] = build_trainer(data, PAPER | {"input_px": px} | changes)
    flops = count_flops(px)
    return [
        _summarise(name, px, rates, flops)
        for name, rates in take_turns(programs, data, rounds).items()
    ]


def list_variants() -> dict[str, dict[str, Any]]:
    """Return how the pipeline's loop is timed, and what is then unlike the paper's recipe."""
    variants: dict[str, dict[str, Any]] = {"ours, fp32": {"precision": "fp32"}}
    if torch.cuda.is_available() or measure_bf16_gain() > 1:
        bf16 = {"precision": "bf16"}
        larger = bf16 | {"batch_size": LARGER_BATCH}
        variants |= {"ours, bf16": bf16, f"ours, bf16, batch {LARGER_BATCH}": larger}
    return variants


def build_plain_programs(data: ImageSet, px: int) -> dict[str, PlainProgram]:
    return {
        f"plain, {workers} workers": PlainProgram(data, px, BATCH_SIZE, workers)
        for workers in WORKERS
    }


def build_trainer(data: ImageSet, recipe: dict[str, Any]) -> Trainer:
    """Return the training of a network with random weights, ready for its first epoch."""
    if schema := SCHEMAS.get(recipe["architecture"]):
        own = schema.model_validate(recipe)
        spec, build, plan = prepare_baseline(own, data)
        return Trainer(build(), spec, data, own, 0, plan)
    params = FinetuneParams.model_validate(recipe)
    spec = describe_model("resnet18", params, data, IMAGENET_CHANNELS)
    return Trainer(build_model(spec), spec, data, params, 0, BackbonePlan(params))


def take_turns(programs: Mapping[Name, Program], data: ImageSet, rounds: int) -> dict[Name, Rates]:
    """Time an epoch of each program, and its judging of all images, round after round."""
    measured: dict[Name, list[Rates]] = {name: [] for name in programs}
    for _ in range(1 + rounds):
        for name, program in programs.items():
            measured[name].append(_time_program(program, data))
    return {
        name: Rates(*map(median, zip(*map(astuple, found[1:]), strict=True)))
        for name, found in measured.items()  # the first round warms up
    }


def _time_program(program: Program, data: ImageSet) -> Rates:
    """Time one epoch of training, the judging of all images, and between them the ceiling.

    Where features of frozen layers are kept, an epoch that computes them anew is timed, too.
    """
    # Ours asks for repeatable results, for the whole process; a notebook does not.
    is_plain = isinstance(program, PlainProgram)
    torch.set_deterministic_debug_mode("default" if is_plain else "error")
    train: Callable[[], object]
    evaluate: Callable[[], object]
    if isinstance(program, PlainProgram):
        dtype, train, evaluate = torch.float32, program.train_epoch, program.evaluate
    else:
        dtype = torch.bfloat16 if program.spec.precision == "bf16" else torch.float32
        train, evaluate = partial(program.train_epoch, 1, ""), partial(program.validate, data, "")
    seconds, begin = _time(train), 0.0
    if isinstance(program, Trainer) and program.features:  # as they are after an epoch
        program.features = None
        begin = max(0.0, _time(train) - seconds) / len(data)
    ceiling = measure_ceiling(dtype)
    return Rates(len(data) / seconds, len(data) / _time(evaluate), ceiling, begin)


def _time(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _summarise(name: str, px: int, rates: Rates, flops: float) -> Speed:
    used = rates.train * flops / rates.ceiling
    return Speed(name, px, rates.train, rates.evaluate, used)


def count_flops(px: int) -> float:
    """Return the floating point operations of a training step, forward and backward, per image."""
    model, images = resnet18(num_classes=10), torch.zeros(2, 3, px, px)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return float(counter.get_total_flops()) / len(images)


def measure_ceiling(dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product, the best of a few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    times = 100 if device == "cuda" else 1  # there, one product is shorter than its launch
    matrix = torch.ones(MATRIX_SIDE, MATRIX_SIDE, dtype=dtype, device=device)

    def multiply() -> None:
        for _ in range(times):
            _ = matrix @ matrix

    fastest = min(_time(multiply) for _ in range(MATRIX_ROUNDS))
    return 2 * MATRIX_SIDE**3 * times / fastest
