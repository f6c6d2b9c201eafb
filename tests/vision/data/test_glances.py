import os
from pathlib import Path

import pytest

from tests.vision.data.pictures import encode, paint, write_folder, write_tar_gz
from vision.data import glances
from vision.data.glances import glance_side_px

PHOTO, SMALL = encode(paint("red", (90, 60)), "JPEG"), encode(paint("red"))


@pytest.mark.parametrize("packed", [False, True])
def test_the_side_of_most_photos_is_told_without_reading_all(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{name}/{n}.jpg": PHOTO for name in "ab" for n in range(3)}
    files |= {"a/LICENSE": b"text", "a/0.png": SMALL, "b/broken.jpg": PHOTO[:9]}
    path = (write_tar_gz if packed else write_folder)(tmp_path / "x", files)
    if path.is_dir():
        os.mkfifo(path / "a/pipe.jpg")  # which no one writes to
    assert glance_side_px(path) == 60
    monkeypatch.setattr(glances, "MOST_FILES", 0)
    assert glance_side_px(path) is None


def test_what_cannot_be_read_has_no_side(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 and no more")
    assert glance_side_px(tmp_path / "x.zip") is None
    assert glance_side_px(write_folder(tmp_path / "x", {"a/1.txt": b"text"})) is None
