"""Damaged files of any kind end in an error of ours, never in a crash or a hang."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.base.errors import ArchiveError, ImageError
from vision.data.archives import read_heads, read_members
from vision.data.formats import FORMATS
from vision.data.images import decode_image

# Always the same examples: a test that fails on some days only stops work that is sound.
SEARCH = settings(
    max_examples=300,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8)
cuts = st.floats(0, 1)


def damage(content: bytes, changes: list[tuple[float, int]], kept: float) -> bytes:
    """Overwrite some bytes and cut the end off."""
    changed = bytearray(content)
    for place, value in changes:
        changed[int(place * len(changed))] = value
    return bytes(changed[: int(kept * len(changed))])


def encode(format_: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format_)
    return file.getvalue()


def pack(suffix: str) -> bytes:
    file = io.BytesIO()
    names = ["cat/1.png", "cat/2.png", "dog/1.png"]
    if suffix == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, encode("PNG"))
    else:
        with tarfile.open(fileobj=file, mode=f"w:{suffix[4:]}") as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(encode("PNG"))
                tar.addfile(info, io.BytesIO(encode("PNG")))
    return file.getvalue()


IMAGES = {suffix: encode(format_) for suffix, format_ in FORMATS.items()}
ARCHIVES = {suffix: pack(suffix) for suffix in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it mends
@pytest.mark.parametrize("suffix", IMAGES)
@SEARCH
@given(changes=edits, kept=cuts)
def test_a_damaged_image_is_an_image_or_an_error(
    suffix: str, changes: list[tuple[float, int]], kept: float
) -> None:
    try:
        pixels = decode_image(damage(IMAGES[suffix], changes, kept), f"a{suffix}", 8)
    except ImageError:
        return
    assert pixels.shape == (8, 8, 3)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ARCHIVES)
@SEARCH
@given(changes=edits, kept=cuts)
def test_a_damaged_archive_is_an_archive_or_an_error(
    suffix: str, changes: list[tuple[float, int]], kept: float, tmp_path: Path
) -> None:
    path = tmp_path / f"photos.{suffix}"
    path.write_bytes(damage(ARCHIVES[suffix], changes, kept))
    try:
        names = list(read_heads(path))
        contents = dict(read_members(path, names))
    except ArchiveError:
        return
    assert set(contents) <= set(names)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
