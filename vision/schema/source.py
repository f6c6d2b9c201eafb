"""A file in sources/: where images are and how they are read, for a `data.source` that is one."""

from typing import Any, Literal

from pydantic import Field, model_validator

from vision.base.sections import Section


class Archive(Section):
    url: str | None = Field(default=None, pattern=r"^(https?|s3|gs|az|abfs)://")
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @property
    def digests(self) -> dict[str, str]:
        both = {"md5": self.md5, "sha256": self.sha256}
        return {name: value for name, value in both.items() if value}


class PartFile(Archive):
    """One archive of several that are one data set. What it gives is found by its checksum."""

    @model_validator(mode="after")
    def _needs_checksum(self) -> "PartFile":
        if not (self.url and self.digests):
            raise ValueError("a part needs a url, and sha256 or md5")
        return self


class SourceFile(Archive):
    reader: Literal["images", "cifar10", "digits"] = "images"
    stand_ins: list[str] = Field(default=[])  # files that a mirror may have in its place
    parts: list[dict[str, Any]] = Field(default=[])  # PartFile each, in place of a url

    @model_validator(mode="after")
    def _needs_url(self) -> "SourceFile":
        if self.parts and (self.url or self.digests or self.reader != "images"):
            raise ValueError("parts have urls and checksums of their own, and the reader images")
        if self.reader != "digits" and not (self.url or self.parts):
            raise ValueError(f"the reader {self.reader} needs a url, or images in parts")
        return self
