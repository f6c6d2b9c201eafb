"""`duplicates` of params.yaml: when two images are taken for the same."""

from pydantic import Field

from vision.base.params import Section

HASH_BITS = 64


class DuplicatesParams(Section):
    max_distance: int = Field(ge=0, le=HASH_BITS)  # bits of the perceptual hash
    min_correlation: float = Field(ge=0, le=1)  # of the pixels
