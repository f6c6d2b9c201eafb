"""`split` of params.yaml: how images are dealt that the source does not split."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from vision.base.sections import Section


class SplitParams(Section):
    val_fraction: float = Field(gt=0, lt=1)  # of the training images
    test_fraction: float = Field(gt=0, lt=1)  # of all images
    rare: Literal["fail", "train"] = "fail"  # what a class with too few images for all parts does
    folds: int | None = Field(None, ge=2, le=100)  # equal parts, each of which may be the test part
    fold: int = Field(0, ge=0)  # which of them is

    group: str | None = Field(None, min_length=1)  # a pattern: equal matches stay together

    @field_validator("group")
    @classmethod
    def _is_pattern(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"{group!r} is no regular expression: {error}") from None
        return group

    @model_validator(mode="after")
    def _has_fold(self) -> "SplitParams":
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold {self.fold} is not among {self.folds or 'no'} folds: from 0 on")
        return self

    @property
    def test_share(self) -> float:
        return 1 / self.folds if self.folds else self.test_fraction

    @property
    def offset(self) -> float:
        """Where in [0, 1) the test part begins."""
        return self.fold / self.folds if self.folds else 0.0
