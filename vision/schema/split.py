"""`split` of params.yaml: how images are dealt that the source does not split."""

from pydantic import Field

from vision.base.params import Section


class SplitParams(Section):
    val_fraction: float = Field(gt=0, lt=1)  # of the training images
    test_fraction: float = Field(gt=0, lt=1)  # of all images
