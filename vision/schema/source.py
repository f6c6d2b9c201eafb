"""A file in sources/: where images are and how they are read, for a `data.source` that is one."""

from typing import Literal

from pydantic import Field, model_validator

from vision.base.sections import Section


class SourceFile(Section):
    reader: Literal["images", "cifar10", "digits"] = "images"
    url: str | None = Field(default=None, pattern=r"^(https?|s3|gs|az|abfs)://")
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    stand_ins: list[str] = Field(default=[])  # files that a mirror may have in its place

    @model_validator(mode="after")
    def _needs_url(self) -> "SourceFile":
        if self.reader != "digits" and not self.url:
            raise ValueError(f"the reader {self.reader} needs a url")
        return self

    @property
    def digests(self) -> dict[str, str]:
        both = {"md5": self.md5, "sha256": self.sha256}
        return {name: value for name, value in both.items() if value}
