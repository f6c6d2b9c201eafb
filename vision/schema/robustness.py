"""`robustness` of params.yaml."""

from pydantic import Field

from vision.base.sections import Section


class RobustnessParams(Section):
    images: int = Field(ge=1)  # of the test split at most, evenly from the classes
    batch_size: int = Field(ge=1)
