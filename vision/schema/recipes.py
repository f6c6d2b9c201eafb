"""What every recipe of params.yaml may say of a training."""

from functools import partial
from operator import eq, not_
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vision.base.sections import Section

MUON_MOMENTUM = 0.6  # of Jordan's airbench94
SIDE = Field(ge=8, le=512)
# What changes how a trained model is used, or how many are trained, and none of their weights.
APART = frozenset({"repeats", "test_flip", "test_shift_px", "test_views_share"})


class AugmentParams(Section):
    crop_padding_px: int = Field(0, ge=0, le=32)  # random shifts, in stored pixels, reflected
    flip: bool = False  # mirror half of the training images
    # mirror each image in every other epoch, not at random
    alternate_flip: bool = Field(False, exclude_if=not_)
    # side of a square of the mean colour, in stored pixels
    cutout_px: int = Field(0, ge=0, le=256, exclude_if=not_)
    # smallest share of an image that a random crop has, which is resized to what the network sees
    crop_scale: float | None = Field(None, gt=0, lt=1, exclude_if=not_)
    # a random change of colour or shape for each image, by torchvision
    auto_augment: Literal["trivial", "rand"] | None = Field(None, exclude_if=not_)
    # share of the images in which a rectangle is filled with the mean colour
    erase: float = Field(0.0, ge=0, le=1, exclude_if=not_)
    # of the Beta distribution by which two images are blended, or a part of one put into the other
    mixup: float = Field(0.0, ge=0, exclude_if=not_)
    cutmix: float = Field(0.0, ge=0, exclude_if=not_)

    @model_validator(mode="after")
    def _check_crops(self) -> "AugmentParams":
        if self.crop_scale and self.crop_padding_px:
            raise ValueError("crop_scale and crop_padding_px are two ways to crop: choose one")
        return self

    @model_validator(mode="after")
    def _check_flip(self) -> "AugmentParams":
        if self.alternate_flip and not self.flip:
            raise ValueError("alternate_flip needs flip: true")
        return self


class OptimizerParams(Section):
    optimizer: Literal["sgd", "adam", "adamw", "muon"]  # muon: sgd, but for convolutions
    learning_rate: float = Field(gt=0)  # the peak, where the schedule has one
    # of biases; null: as the others'
    bias_learning_rate: float | None = Field(None, gt=0, exclude_if=not_)
    # of the filters of convolutions under muon
    muon_learning_rate: float | None = Field(None, gt=0, exclude_if=not_)
    muon_momentum: float = Field(MUON_MOMENTUM, gt=0, lt=1, exclude_if=partial(eq, MUON_MOMENTUM))
    momentum: float = Field(0.0, ge=0, lt=1)  # sgd and muon only
    nesterov: bool = False  # sgd and muon only
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "linear", "cosine", "one-cycle"] = "constant"  # step by step
    # share of the steps in which the rate rises
    warmup: float | None = Field(None, gt=0, lt=1, exclude_if=not_)
    # what the gradient's norm is scaled down to where it is larger
    clip_norm: float | None = Field(None, gt=0, exclude_if=not_)

    @model_validator(mode="after")
    def _check_momentum(self) -> "OptimizerParams":
        if self.optimizer not in ("sgd", "muon") and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, not to {self.optimizer}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    @model_validator(mode="after")
    def _check_muon(self) -> "OptimizerParams":
        if self.optimizer == "muon" and not self.muon_learning_rate:
            raise ValueError("optimizer muon needs a muon_learning_rate, such as 0.1")
        if self.optimizer != "muon" and (
            self.muon_learning_rate or self.muon_momentum != MUON_MOMENTUM
        ):
            raise ValueError(f"muon_learning_rate and muon_momentum are not for {self.optimizer}")
        return self

    @model_validator(mode="after")
    def _check_warmup(self) -> "OptimizerParams":
        if self.warmup and self.schedule in ("constant", "linear"):
            raise ValueError("warmup belongs to the schedules cosine and one-cycle")
        return self


class TrainParams(OptimizerParams, AugmentParams):
    """What every recipe may set. The defaults add nothing to plain training.

    A knob that came after the first results is left out of a summary where it is off, by
    `exclude_if`: a new knob changes no byte of what a recipe leaves that does not turn it.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    # pieces of a batch, one after the other, whose gradients are summed: less memory
    accumulate: int = Field(1, ge=1, exclude_if=partial(eq, 1))
    # classes count alike, however many images they have: by weights in the loss, or by drawing
    balance: Literal["loss", "sampling"] | None = Field(None, exclude_if=not_)
    # validation figure by which the kept epoch is chosen
    select_by: Literal["accuracy", "macro_f1", "loss"] = Field(
        "accuracy", exclude_if=partial(eq, "accuracy")
    )
    # epochs without a better one after which a training ends; 0: never
    patience: int = Field(0, ge=0, exclude_if=not_)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # of a moving average of the weights, step by step
    ema_decay: float = Field(0.0, ge=0, lt=1, exclude_if=not_)
    # steps after which slow weights follow those that train, which go on from them; 0: never
    lookahead: int = Field(0, ge=0, exclude_if=not_)
    # further trainings, with the next seeds: how much of a figure is luck
    repeats: int = Field(0, ge=0, le=99, exclude_if=not_)
    test_flip: bool = False  # average the logits of an image and of its mirror image
    # average also those of the image shifted by so many stored pixels, there and back, diagonally
    test_shift_px: int = Field(0, ge=0, le=32, exclude_if=not_)
    # those further views only where the first is unsure: about this share of the validation images
    test_views_share: float | None = Field(None, gt=0, lt=1, exclude_if=not_)
    input_px: Annotated[int, SIDE] | None = None  # what the network sees; null: as stored
    # what it sees in training instead
    px_by_epoch: list[Annotated[int, SIDE]] | None = Field(None, exclude_if=not_)
    precision: Literal["fp32", "bf16"] = "fp32"
    # of the network's passes in training, by torch.compile
    compile: bool = Field(False, exclude_if=not_)
    # false: kernels that are faster, and whose sums differ from run to run
    deterministic: bool = Field(True, exclude_if=bool)

    @model_validator(mode="after")
    def _check_px(self) -> "TrainParams":
        if self.px_by_epoch and len(self.px_by_epoch) != self.epochs:
            n = len(self.px_by_epoch)
            raise ValueError(f"px_by_epoch names {n} sizes for {self.epochs} epochs")
        return self

    @model_validator(mode="after")
    def _check_views(self) -> "TrainParams":
        if self.test_views_share and not (self.test_flip or self.test_shift_px):
            raise ValueError("test_views_share needs further views: test_flip or test_shift_px")
        return self

    def get_decisive(self, seed: int) -> dict[str, Any]:
        """Return what decides the weights; a default that is written out adds nothing."""
        return {"recipe": self.model_dump(mode="json", exclude=set(APART)), "seed": seed}
