"""`data` of params.yaml: what is fetched, and the side at which it is stored."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from vision.base.errors import SourceError
from vision.base.sections import Section

DESCRIBED = ("cifar10", "digits")  # in sources/


class DataParams(Section):
    source: str = Field(min_length=1)  # a file in sources/, or a folder or archive of images
    image_px: int = Field(ge=8, le=512)
    fit: Literal["crop", "letterbox"] = "crop"  # how an oblong image becomes a square
    labels: str | None = Field(None, min_length=1)  # a table, where folders are no classes
    broken: Literal["fail", "skip"] = "fail"  # what images that cannot be read do

    @field_validator("source")
    @classmethod
    def _is_path(cls, source: str) -> str:
        if source in DESCRIBED:
            raise ValueError(f"{source} is described in a file: write sources/{source}.yaml")
        if "://" in source:
            raise ValueError(
                f"{source} is an address: write a file such as sources/mine.yaml with `url: ...`, "
                "and its name here"
            )
        return source

    def locate(self, root: Path = Path()) -> Path:
        """Return the path of the source.

        Args:
            root: the project, in which it lies, unless it is a full path.

        Raises:
            SourceError: there is nothing.
        """
        if not (path := root / self.source).exists():
            raise SourceError(
                f"data.source is {self.source!r}, which does not exist: give the path of a folder "
                "or archive of images, or of a file that describes them, such as "
                "sources/digits.yaml"
            )
        return path
