"""One training loop for all networks: fit on train, judge each epoch on val."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vision.base.batch_norms import synchronise_batch_norms
from vision.base.compiling import compile_network
from vision.base.distributed import (
    add_up,
    count_processes,
    gathering_gradients,
    is_first,
    measure_loss,
    share_gradients,
    take_newest,
    take_share,
)
from vision.base.errors import TrainingError
from vision.base.hardware import check_precision
from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.models.batches import (
    Held,
    can_hold,
    count_batches,
    read_batch,
    split_batches,
    to_input,
)
from vision.models.convolutions import speeding_up_small_maps
from vision.models.inference import autocast, predict_logits, prepare_device
from vision.models.networks import ModelSpec
from vision.schema.recipes import TrainParams
from vision.training.augmentation import Augmenter, Draws
from vision.training.checkpoints import Checkpoint, Checkpoints, forget
from vision.training.features import Features
from vision.training.lookahead import Lookahead
from vision.training.optimizers import build_optimizer, build_schedule, divide_groups
from vision.training.recipes import LayerPlan

BEST: dict[str, Callable[["Epoch"], float]] = {  # what is highest at the best epoch
    "accuracy": lambda epoch: epoch.val_accuracy,
    "macro_f1": lambda epoch: epoch.val_macro_f1 or 0.0,
    "loss": lambda epoch: -epoch.val_loss,
}
Read = Callable[[Tensor, Draws], tuple[Tensor, Tensor]]  # -> what the network takes, labels


@dataclass(frozen=True)
class Epoch:
    """One row of the history; accuracies are fractions, losses are nats per image."""

    epoch: int
    train_loss: float  # cross-entropy, mean over the epoch, on the images as augmented
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float | None = None  # where a recipe chooses by it

    def __str__(self) -> str:
        return (
            f"train loss {self.train_loss:.3f}, accuracy {self.train_accuracy:.1%}  "
            f"val loss {self.val_loss:.3f}, accuracy {self.val_accuracy:.1%}"
        )


class Piece(NamedTuple):
    """Images that go through the network at once."""

    x: Tensor  # (B, 3, P, P), or what frozen layers made of them
    labels: Tensor  # (B,) int64
    others: Tensor | None = None  # (B,) int64, of the images that are mixed into these
    others_share: float = 0.0
    is_last: bool = True  # of its batch


@dataclass(frozen=True)
class Fit:
    history: list[Epoch]
    best: Epoch
    best_state: dict[str, Tensor]
    last_state: dict[str, Tensor]
    seconds: float
    images_per_second: float  # forward, backward and step; validation apart
    views_below: float = 0.0  # see ModelSpec.test_views_below


def fit_seeds(
    build: Callable[[], nn.Module],
    spec: ModelSpec,
    train: ImageSet,
    val: ImageSet,
    params: TrainParams,
    seed: int,
    plan: LayerPlan | None = None,
    checkpoints: Checkpoints = forget,
) -> Iterator[tuple[int, Fit]]:
    """Fit anew with `seed`, and with as many further ones as the recipe says; yield each with it.

    Args:
        build: returns the network, with weights that the recipe draws at random from torch.
    """
    for each in range(seed, seed + 1 + params.repeats):
        if params.repeats and is_first():
            print(f"seed {each}", flush=True)
        torch.manual_seed(each)
        yield each, fit(build(), spec, train, val, params, each, plan, checkpoints(each))


def fit(
    model: nn.Module,
    spec: ModelSpec,
    train: ImageSet,
    val: ImageSet,
    params: TrainParams,
    seed: int,
    plan: LayerPlan | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Train `model`; keep its weights of the epoch that validates best, and of the last.

    Args:
        checkpoint: where to go on from, and to save to after each epoch. What comes of it is, on
            a CPU, bit for bit what comes of a training that was never ended.

    Raises:
        TrainingError: the loss, in training or in validation, is no longer finite.
    """
    started = time.perf_counter()
    trainer = Trainer(model, spec, train, params, seed, plan or LayerPlan())
    checkpoint = checkpoint or Checkpoint()
    progress = Progress()
    own = checkpoint.load()
    if saved := take_newest(own, len(own["history"]) if own else 0):
        trainer.set_state(saved.pop("trainer"))
        progress = Progress.from_dict(saved)
        if is_first():
            done, place = len(progress.history), checkpoint.path if own else "another machine"
            print(f"going on after epoch {done}/{params.epochs}, found in {place}", flush=True)
    earlier = progress.seconds
    for number in range(len(progress.history) + 1, params.epochs + 1):
        if has_stalled(progress.history, params):
            break
        title = f"epoch {number}/{params.epochs}" if is_first() else ""
        epoch_started = time.perf_counter()
        loss, accuracy = trainer.train_epoch(number, title)
        progress.training_seconds += time.perf_counter() - epoch_started
        _require_finite("loss", loss, number, params)
        epoch = Epoch(number, loss, accuracy, *trainer.validate(val, title))
        _require_finite("validation loss", epoch.val_loss, number, params)
        if title:
            print(f"{title}  {epoch}", flush=True)
        progress.history.append(epoch)
        if find_best(progress.history, params.select_by) is epoch:
            progress.best_state = _copy_state(trainer.judged)
            progress.views_below = trainer.find_unsure()
        progress.seconds = earlier + time.perf_counter() - started
        if is_first():
            checkpoint.save({"trainer": trainer.get_state(), **progress.to_dict()})
    return Fit(
        history=progress.history,
        best=find_best(progress.history, params.select_by),
        best_state=progress.best_state,
        last_state=_copy_state(trainer.judged),
        seconds=progress.seconds,
        images_per_second=len(train) * len(progress.history) / progress.training_seconds,
        views_below=progress.views_below,
    )


def _require_finite(what: str, loss: float, number: int, params: TrainParams) -> None:
    if not math.isfinite(loss):
        rate = params.learning_rate
        raise TrainingError(f"the {what} is {loss} in epoch {number}: lower learning_rate {rate}")


@dataclass
class Progress:
    """What the epochs so far have given."""

    history: list[Epoch] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    training_seconds: float = 0.0  # forward, backward and step; validation apart
    views_below: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"history": [asdict(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Progress":
        return cls(**saved | {"history": [Epoch(**row) for row in saved["history"]]})


class Trainer:
    """All that changes while a network trains: its weights, the optimiser, the rate, the order."""

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        train: ImageSet,
        params: TrainParams,
        seed: int,
        plan: LayerPlan,
    ) -> None:
        self.device = prepare_device(params.deterministic)
        check_precision(spec.precision, self.device)
        model = synchronise_batch_norms(model)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.average = average_weights(model, params.ema_decay) if params.ema_decay else None
        # What batches go through; it shares the weights of `model`, which the average has copied.
        self.network = (
            compile_network(self.model, params.deterministic) if params.compile else self.model
        )
        self.spec, self.train, self.params, self.plan = spec, train, params, plan
        self.steps_per_epoch = count_batches(len(train), params.batch_size)
        groups = divide_groups(plan.group(model), model, params)
        self.optimizer = build_optimizer(groups, params)
        self.schedule = build_schedule(self.optimizer, params, params.epochs * self.steps_per_epoch)
        self.lookahead = (
            Lookahead(self.model, params.lookahead, params.epochs * self.steps_per_epoch)
            if params.lookahead
            else None
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.augmenter = Augmenter(params, len(train), self.generator)
        counts = torch.bincount(torch.from_numpy(train.get_labels()), minlength=len(train.classes))
        self.class_weights = len(train) / len(train.classes) / counts.clamp(min=1)  # mean 1
        self.held = Held.take(train, self.device) if can_hold(train, self.device) else None
        self.val_logits: Tensor | None = None  # (n, classes), of the last validation
        self.features: tuple[nn.Sequential, Features] | None = None  # and the layers that gave them

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the average of the weights, if there is one."""
        return self.average.module if self.average else self.model

    def get_state(self) -> dict[str, Any]:
        """Return all that the next epoch depends on, for `set_state` of a trainer made alike."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "order": self.generator.get_state(),
            "random": torch.get_rng_state(),
        }
        if self.average:
            state["average"] = self.average.state_dict()
        if self.lookahead:
            state["lookahead"] = self.lookahead.slow
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["order"])
        torch.set_rng_state(state["random"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.lookahead:
            self.lookahead.go_on_from(state["lookahead"])
        if "cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"])

    def train_epoch(self, epoch: int, title: str) -> tuple[float, float]:
        """Step through the images once, in random order; return mean loss and accuracy.

        Args:
            title: of the progress bar; "" shows none.
        """
        self.plan.set_mode(self.model, epoch)
        read, network = self._open(epoch)
        network = share_gradients(network)
        order = self._draw_order()
        batches: Iterable[Tensor] = split_batches(order, self.params.batch_size)
        if title:
            batches = track(batches, title, total=self.steps_per_epoch)
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        for positions in batches:
            pieces = self._read_pieces(read, positions, epoch)
            loss, n_right = self.train_step(network, pieces, len(positions))
            loss_sum += loss * len(positions)
            right += n_right
        add_up(loss_sum)
        add_up(right)
        return float(loss_sum) / len(self.train), int(right) / len(self.train)

    def _draw_order(self) -> Tensor:
        """Return the positions of an epoch's images, (n,)."""
        if self.params.balance != "sampling":
            return torch.randperm(len(self.train), generator=self.generator)
        odds = self.class_weights[torch.from_numpy(self.train.get_labels())]
        return torch.multinomial(odds, len(odds), replacement=True, generator=self.generator)

    def _read_pieces(self, read: Read, positions: Tensor, epoch: int) -> Iterator[Piece]:
        """Read this process's share of a batch in the pieces that the recipe asks for.

        Of two images at least, counted over all processes: batch norm cannot train on one.
        """
        draws = self.augmenter.draw(positions, epoch, self.train.image_px)
        mix = self.augmenter.draw_mix()
        behind, draws_behind = (positions.roll(1), draws.roll()) if mix else (positions, draws)
        n_pieces, start = min(self.params.accumulate, max(1, len(positions) // 2)), 0
        for number, part in enumerate(positions.tensor_split(n_pieces), 1):
            share = take_share(len(part))
            rows = slice(start + share.start, start + share.stop)
            start += len(part)
            x, labels = read(positions[rows], draws.take(rows))
            if mix is None:
                yield Piece(x, labels, is_last=number == n_pieces)
                continue
            others, other_labels = read(behind[rows], draws_behind.take(rows))
            x, kept = mix.apply(x, others)
            yield Piece(x, labels, other_labels, 1 - kept, number == n_pieces)

    def train_step(
        self, network: nn.Module, pieces: Iterable[Piece], n_whole: int
    ) -> tuple[Tensor, Tensor]:
        """Descend once.

        Args:
            pieces: this process's share of the batch.
            n_whole: images of the batch.

        Returns:
            The share's part of the mean cross-entropy, () nats, which neither label smoothing nor
            weights nor other images have a part in, so that it compares with validation's; and how
            many images are predicted right, () int64.
        """
        self.optimizer.zero_grad()
        loss, right = [], []
        for piece in pieces:
            with gathering_gradients(network, piece.is_last):
                with autocast(self.device, self.spec), self._convolving():
                    logits = network(piece.x)
                logits = logits.float()
                # The mean over all processes of what is multiplied so is their sum.
                (self._measure(logits, piece, n_whole) * count_processes()).backward()
            logits = logits.detach()
            loss.append(measure_loss(logits, piece.labels, n_whole))
            right.append((logits.argmax(1) == piece.labels).sum())
        weights = [weight for weight in self.model.parameters() if weight.grad is not None]
        if self.params.clip_norm:
            nn.utils.clip_grad_norm_(weights, self.params.clip_norm)
        with autocast(self.device, self.spec):  # Muon's products
            self.optimizer.step()
        self.schedule.step()
        if self.lookahead:
            self.lookahead.update(self.schedule.last_epoch)
        if self.average:
            self.average.update_parameters(self.model)
        return torch.stack(loss).sum(), torch.stack(right).sum()

    def _convolving(self) -> AbstractContextManager[object]:
        """Compute small maps our own way, but where torch compiles the convolutions."""
        return nullcontext() if self.params.compile else speeding_up_small_maps(self.device)

    def _measure(self, logits: Tensor, piece: Piece, n_whole: int) -> Tensor:
        """Return the loss that is descended, () nats: a piece's part of the batch's mean."""
        smoothing, weights = self.params.label_smoothing, None
        if self.params.balance == "loss":
            weights = self.class_weights.to(logits)
        loss = measure_loss(logits, piece.labels, n_whole, smoothing, weights)
        if piece.others is None:
            return loss
        others = measure_loss(logits, piece.others, n_whole, smoothing, weights)
        return (1 - piece.others_share) * loss + piece.others_share * others

    def validate(self, data: ImageSet, title: str) -> tuple[float, float, float | None]:
        """Return mean loss, accuracy and, where epochs are chosen by it, macro F1.

        Without augmentation or label smoothing, of one view of each image: several would cost as
        many times as much, each epoch.
        """
        spec = replace(self.spec, test_flip=False, test_shift_px=0)
        batch_size = max(256, self.params.batch_size)
        title = title and f"{title} validation"
        array = predict_logits(self.judged, spec, data, batch_size, title)
        logits, labels = torch.from_numpy(array), torch.from_numpy(data.get_labels())
        self.val_logits = logits
        predicted = logits.argmax(1)
        right = int((predicted == labels).sum())
        f1 = measure_macro_f1(predicted, labels) if self.params.select_by == "macro_f1" else None
        return float(functional.cross_entropy(logits, labels)), right / len(data), f1

    def find_unsure(self) -> float:
        """Return the probability below which the last validation's least sure images lie."""
        share, logits = self.params.test_views_share, self.val_logits
        if not share or logits is None:
            return 0.0
        return float(logits.softmax(1).amax(1).quantile(share))

    def _open(self, epoch: int) -> tuple[Read, nn.Module]:
        """Return how an epoch reads its batches, and the network that takes them."""
        parts = self.plan.split(self.model, epoch)
        if parts is None:
            return self._read_images(epoch), self.network
        frozen, rest = parts
        if self.features is None or len(self.features[0]) != len(frozen):
            size = max(256, self.params.batch_size)
            features = Features(frozen, self.spec, self.train, size, self.params.flip)
            self.features = (frozen, features)
        return self.features[1].read, rest

    def _read_images(self, epoch: int) -> Read:
        sizes, train = self.params.px_by_epoch, self.train
        spec = replace(self.spec, input_px=sizes[epoch - 1]) if sizes else self.spec

        def read(positions: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
            held = self.held
            batch = held.read(positions) if held else read_batch(train, positions, self.device)
            images = self.augmenter.apply(batch.images, draws, spec.mean, spec.input_px)
            return to_input(images, spec), batch.labels

        return read


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network's weights and batch norm statistics."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def find_best(history: list[Epoch], select_by: str = "accuracy") -> Epoch:
    """Return the first of the epochs that validate best, by what the recipe chooses by."""
    return max(history, key=BEST[select_by])


def has_stalled(history: list[Epoch], params: TrainParams) -> bool:
    """Say whether the last epochs, as many as the recipe has patience for, were no better."""
    if not params.patience or not history:
        return False
    return len(history) - find_best(history, params.select_by).epoch >= params.patience


def measure_macro_f1(predicted: Tensor, labels: Tensor) -> float:
    """Return the mean F1 of the classes that are there; (n,) int64 both."""
    n = int(torch.cat([predicted, labels]).max()) + 1
    found, true = torch.bincount(predicted, minlength=n), torch.bincount(labels, minlength=n)
    hits = torch.bincount(labels[predicted == labels], minlength=n)
    scores = 2 * hits / (found + true).clamp(min=1)
    return float(scores[true > 0].mean())


def _copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
