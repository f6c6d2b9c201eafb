"""The recipes of the networks that are trained from random weights."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vision.base.errors import ParamsError
from vision.base.params import get_value, read_params
from vision.base.sections import check_section
from vision.schema.recipes import TrainParams

Width = Annotated[int, Field(ge=1)]
WIDTHS = [64, 256, 256]  # of Jordan's airbench94


class OneSizeParams(TrainParams):
    """Of a network whose last layers take images of one size."""

    @model_validator(mode="after")
    def _check_one_size(self) -> "OneSizeParams":
        if self.px_by_epoch:
            raise ValueError("px_by_epoch is for finetune: this network takes images of one size")
        return self


class TwoLayerFCParams(OneSizeParams):
    architecture: Literal["two-layer-fc"]
    hidden_units: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_optimizer(self) -> "TwoLayerFCParams":
        if self.optimizer == "muon":
            raise ValueError("optimizer muon is for convolutions, which this network lacks: sgd")
        return self

    def get_options(self) -> dict[str, Any]:
        return {"hidden_units": self.hidden_units}


class ThreeLayerCNNParams(OneSizeParams):
    architecture: Literal["three-layer-cnn"]
    first_filters: int = Field(ge=1)  # 5x5
    second_filters: int = Field(ge=1)  # 3x3
    pooling: bool = False  # 2x2 maximum after each convolution
    dropout: float = Field(0.0, ge=0, lt=1)  # before the dense layer

    def get_options(self) -> dict[str, Any]:
        filters = [self.first_filters, self.second_filters]
        return {"filters": filters, "pooling": self.pooling, "dropout": self.dropout}


class WhitenedCNNParams(OneSizeParams):
    architecture: Literal["whitened-cnn"]
    # channels after each block
    widths: list[Width] = Field(WIDTHS, min_length=3, max_length=3)
    convolutions: Literal[2, 3] = 2  # of a block; of three, the last two have a way around them
    batch_norm_momentum: float = Field(0.1, gt=0, le=1)  # share of a batch in running statistics
    whiten_bias_epochs: int = Field(3, ge=0)  # first epochs in which the first layer's bias trains

    def get_options(self) -> dict[str, Any]:
        return {
            "widths": self.widths,
            "convolutions": self.convolutions,
            "batch_norm_momentum": self.batch_norm_momentum,
        }


BaselineParams = TwoLayerFCParams | ThreeLayerCNNParams | WhitenedCNNParams
SCHEMAS: dict[str, type[BaselineParams]] = {
    "two-layer-fc": TwoLayerFCParams,
    "three-layer-cnn": ThreeLayerCNNParams,
    "whitened-cnn": WhitenedCNNParams,
}


def load_baseline(name: str) -> BaselineParams:
    """Read `baselines.NAME`."""
    return check_baseline(name, get_value(read_params(), f"baselines.{name}"))


def check_baseline(name: str, values: Any) -> BaselineParams:
    """Return the recipe under a name; its `architecture` says which other keys it has."""
    architecture = values.get("architecture") if isinstance(values, dict) else None
    if not isinstance(architecture, str) or architecture not in SCHEMAS:
        choices = ", ".join(SCHEMAS)
        key = f"baselines.{name}.architecture"
        raise ParamsError(f"{key} is {architecture!r}; choose from {choices}")
    return check_section(f"baselines.{name}", values, SCHEMAS[architecture])
