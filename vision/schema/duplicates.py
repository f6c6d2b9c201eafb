"""`duplicates` of params.yaml: when a test image is taken for a near-duplicate."""

from typing import Any

from pydantic import Field, model_validator

from vision.base.sections import Section
from vision.schema.gone import refuse_gone


class DuplicatesParams(Section):
    deviations: float = Field(ge=0)  # above what is usual among training images
    min_correlation: float = Field(ge=0, le=1)  # of the detail, at least, whatever is usual

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_gone(cls, values: Any) -> Any:
        why = "no hashes are compared, and `deviations` sets the limit"
        return refuse_gone(values, {"max_distance": why})
