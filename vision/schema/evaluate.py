"""`evaluate` of params.yaml."""

from typing import Any

from pydantic import Field, model_validator

from vision.base.sections import Section
from vision.schema.gone import refuse_gone


class EvaluateParams(Section):
    batch_size: int = Field(ge=1)
    confidence: float = Field(ge=0.5, lt=1)  # of the intervals

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_gone(cls, values: Any) -> Any:
        return refuse_gone(values, {"bootstrap_resamples": "no interval draws samples"})
