"""`evaluate` of params.yaml."""

from pydantic import Field

from vision.base.params import Section


class EvaluateParams(Section):
    batch_size: int = Field(ge=1)
    bootstrap_resamples: int = Field(ge=100)
    confidence: float = Field(ge=0.5, lt=1)  # of the intervals
