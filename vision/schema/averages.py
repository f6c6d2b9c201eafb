"""`models.averages.NAME` of params.yaml: two trained models that decide together."""

from pydantic import Field, model_validator

from vision.base.sections import Section


class AverageParams(Section):
    """The mean of the logits of two models; either may itself be such a mean."""

    first: str
    second: str
    share: float = Field(0.5, gt=0, lt=1)  # of the first in the mean

    @model_validator(mode="after")
    def _check_two(self) -> "AverageParams":
        if self.first == self.second:
            raise ValueError(f"first and second are both {self.first!r}: name two models")
        return self
