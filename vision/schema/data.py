"""`data` of params.yaml: what is fetched, and the side at which it is stored."""

from typing import Literal

from pydantic import Field

from vision.base.params import Section


class DataParams(Section):
    source: str = Field(min_length=1)  # cifar10, digits, or a folder, archive or address
    image_px: int = Field(ge=8, le=512)
    labels: str | None = Field(None, min_length=1)  # a table, where folders are no classes
    broken: Literal["fail", "skip"] = "fail"  # what images that cannot be read do
