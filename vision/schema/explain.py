"""`explain` of params.yaml."""

from pydantic import Field

from vision.base.sections import Section


class ExplainParams(Section):
    images: int = Field(
        ge=1, le=24
    )  # of the wrong predictions; of the right ones one of each class
