"""`explain` of params.yaml."""

from pydantic import Field

from vision.base.sections import Section


class ExplainParams(Section):
    # Of the wrong predictions; of the right ones it is one of each class.
    images: int = Field(ge=1, le=24)
    mapped: int = Field(1000, ge=3, le=5000)  # of the test images, the same share of each class
