"""One training loop for all networks: fit on train, judge each epoch on val."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, OneCycleLR

from vision.batches import (
    Batch,
    count_batches,
    crop_and_flip,
    iterate_batches,
    measure_channels,
    to_input,
)
from vision.data import ImageSet
from vision.errors import TrainingError
from vision.inference import autocast, predict_logits, prepare_device
from vision.models import Channels, ModelSpec
from vision.params import Section
from vision.progress import track

WARMUP = 0.25  # of the steps of a one-cycle schedule, two steps at least
SHORTEST_CYCLE = 3  # steps: up, peak, down


class TrainParams(Section):
    """What every recipe may set. The defaults add nothing to plain training."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: float = Field(gt=0)  # the peak, where the schedule has one
    momentum: float = Field(0.0, ge=0, lt=1)  # sgd only
    nesterov: bool = False  # sgd only
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"  # step by step
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    crop_padding_px: int = Field(0, ge=0, le=32)  # random shifts, in stored pixels, reflected
    flip: bool = False  # mirror half of the training images
    test_flip: bool = False  # average the logits of an image and of its mirror image
    input_px: int | None = Field(None, ge=8, le=512)  # what the network sees; null: as stored
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _check_momentum(self) -> "TrainParams":
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, not to {self.optimizer}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


@dataclass(frozen=True)
class Epoch:
    """One row of the history; accuracies are fractions, losses are nats per image."""

    epoch: int
    train_loss: float  # running mean over the epoch, on the images as augmented
    train_accuracy: float
    val_loss: float
    val_accuracy: float

    def __str__(self) -> str:
        return (
            f"train loss {self.train_loss:.3f}, accuracy {self.train_accuracy:.1%}  "
            f"val loss {self.val_loss:.3f}, accuracy {self.val_accuracy:.1%}"
        )


@dataclass(frozen=True)
class Fit:
    history: list[Epoch]
    best: Epoch
    best_state: dict[str, Tensor]
    last_state: dict[str, Tensor]
    seconds: float
    images_per_second: float  # forward, backward and step; validation apart


def describe_model(
    architecture: str,
    params: TrainParams,
    train: ImageSet,
    channels: tuple[Channels, Channels] | None = None,
    **options: Any,
) -> ModelSpec:
    """Return the spec of the network that a recipe trains on these images.

    Args:
        channels: mean and standard deviation to normalise with; None: those of `train`.
        options: arguments of the architecture.
    """
    mean, std = channels or measure_channels(train)
    return ModelSpec(
        architecture=architecture,
        classes=train.classes,
        input_px=params.input_px or train.image_px,
        mean=mean,
        std=std,
        precision=params.precision,
        test_flip=params.test_flip,
        options=options,
    )


def fit(
    model: nn.Module,
    spec: ModelSpec,
    train: ImageSet,
    val: ImageSet,
    params: TrainParams,
    seed: int,
    set_mode: Callable[[nn.Module, int], None] = lambda model, epoch: None,
) -> Fit:
    """Train `model`; keep its weights of the epoch that validates best, and of the last.

    Args:
        set_mode: called with the model and the epoch (from 1) to say what trains in it.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    started, training_seconds = time.perf_counter(), 0.0
    trainer = Trainer(model, spec, params, n_train=len(train), seed=seed)
    history: list[Epoch] = []
    best_state: dict[str, Tensor] = {}
    for number in range(1, params.epochs + 1):
        title = f"epoch {number}/{params.epochs}"
        model.train()
        set_mode(model, number)
        epoch_started = time.perf_counter()
        loss, accuracy = trainer.train_epoch(train, title)
        training_seconds += time.perf_counter() - epoch_started
        if not math.isfinite(loss):
            rate = params.learning_rate
            raise TrainingError(f"the loss is {loss} in epoch {number}: lower learning_rate {rate}")
        epoch = Epoch(number, loss, accuracy, *trainer.validate(val, title))
        print(f"{title}  {epoch}", flush=True)
        history.append(epoch)
        if find_best(history) is epoch:
            best_state = _copy_state(model)
    return Fit(
        history=history,
        best=find_best(history),
        best_state=best_state,
        last_state=_copy_state(model),
        seconds=time.perf_counter() - started,
        images_per_second=len(train) * params.epochs / training_seconds,
    )


class Trainer:
    """All that changes while a network trains: its weights, the optimiser, the rate, the order."""

    def __init__(
        self, model: nn.Module, spec: ModelSpec, params: TrainParams, n_train: int, seed: int
    ) -> None:
        self.device = prepare_device()
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.spec = spec
        self.params = params
        self.steps_per_epoch = count_batches(n_train, params.batch_size)
        self.optimizer = build_optimizer(model, params)
        self.schedule = build_schedule(self.optimizer, params, params.epochs * self.steps_per_epoch)
        self.generator = torch.Generator().manual_seed(seed)

    def train_epoch(self, data: ImageSet, title: str) -> tuple[float, float]:
        """Step through the images once, in random order; return mean loss and accuracy."""
        order = torch.randperm(len(data), generator=self.generator)
        batches = iterate_batches(data, order, self.params.batch_size, self.device)
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        for batch in track(batches, title, total=self.steps_per_epoch):
            loss, logits = self.train_step(batch)
            loss_sum += loss * len(batch.labels)
            right += (logits.argmax(1) == batch.labels).sum()
        return float(loss_sum) / len(data), int(right) / len(data)

    def train_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Descend once; return the mean loss, () nats, and the logits, (B, classes)."""
        images, params = batch.images, self.params
        if params.crop_padding_px or params.flip:
            images = crop_and_flip(images, params.crop_padding_px, params.flip, self.generator)
        with autocast(self.device, self.spec):
            logits = self.model(to_input(images, self.spec))
        loss = functional.cross_entropy(
            logits.float(), batch.labels, label_smoothing=params.label_smoothing
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach(), logits.detach()

    def validate(self, data: ImageSet, title: str) -> tuple[float, float]:
        """Return mean loss and accuracy, without augmentation or label smoothing."""
        batch_size = max(256, self.params.batch_size)
        array = predict_logits(self.model, self.spec, data, batch_size, f"{title} validation")
        logits, labels = torch.from_numpy(array), torch.from_numpy(data.get_labels())
        right = int((logits.argmax(1) == labels).sum())
        return float(functional.cross_entropy(logits, labels)), right / len(data)


def find_best(history: list[Epoch]) -> Epoch:
    """Return the first of the epochs with the highest validation accuracy."""
    return max(history, key=lambda epoch: epoch.val_accuracy)


def build_optimizer(model: nn.Module, params: TrainParams) -> Optimizer:
    """Return torch's fused optimiser over all weights; frozen ones get no gradient and stay."""
    weights, rate, decay = model.parameters(), params.learning_rate, params.weight_decay
    match params.optimizer:
        case "sgd":
            return SGD(
                weights,
                rate,
                momentum=params.momentum,
                nesterov=params.nesterov,
                weight_decay=decay,
                fused=True,
            )
        case "adam":
            return Adam(weights, rate, weight_decay=decay, fused=True)
        case "adamw":
            return AdamW(weights, rate, weight_decay=decay, fused=True)


def build_schedule(optimizer: Optimizer, params: TrainParams, steps: int) -> LRScheduler:
    """Return a schedule of the learning rate that advances with each of `steps` batches."""
    match params.schedule:
        case "constant":
            return ConstantLR(optimizer, factor=1.0)
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=steps)
        case "one-cycle" if steps < SHORTEST_CYCLE:
            return ConstantLR(optimizer, factor=1.0)
        case "one-cycle":
            peak, warmup = params.learning_rate, max(WARMUP, 2 / steps)
            return OneCycleLR(optimizer, peak, steps, pct_start=warmup, cycle_momentum=False)


def _copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
