from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vision.data.pictures import BLUE, RED, encode, paint, write_folder, write_tar_gz
from vision.base.errors import DataError, ImageError
from vision.base.files import read_json
from vision.data.shards import open_images
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

PETS = {f"{name}/{n}.png": image for name, image in (("cats", RED), ("dogs", BLUE)) for n in "123"}
BROKEN = {"cats/0.png": b"", "cats/2.png": RED[:40], "dogs/4.jpg": b"<html>"}


def save(path: Path, broken: str = "fail", image_px: int = 8) -> list[str]:
    params = DataParams.model_validate({"source": "x", "image_px": image_px, "broken": broken})
    return save_raw(open_user_images(path, params), image_px, Path("data/raw"), broken)


def read_arrays() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("data/raw").rglob("*.npy")}


def grey(value: int) -> bytes:
    """A picture of 16 bits."""
    return encode(Image.fromarray(np.full((8, 8), value, np.uint16)))


@pytest.mark.usefixtures("workspace")
def test_all_broken_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        save(write_folder(tmp_path / "pets", PETS | BROKEN))
    message = str(caught.value)
    assert message.startswith("3 of 8 images cannot be read: cats/0.png (empty file), cats/2.png (")
    assert "dogs/4.jpg (an HTML page, not an image): all are in data/broken.txt" in message
    assert message.endswith("mend or remove them, or set data.broken: skip")
    assert {path.name for path in Path("data").iterdir()} == {"raw", "broken.txt"}
    assert list(Path("data/raw").iterdir()) == []


@pytest.mark.usefixtures("workspace")
def test_an_error_names_20_and_the_file_all(tmp_path: Path) -> None:
    empty = {f"cats/{n:03}\n.jpg": b"" for n in range(23)}
    with pytest.raises(ImageError, match=r"cats/019\\n\.jpg \(empty file\) and 3 more: all"):
        save(write_folder(tmp_path / "pets", PETS | empty))
    lines = Path("data/broken.txt").read_text().splitlines()
    assert len(lines) == 23
    assert lines[-1] == r"cats/022\n.jpg (empty file)"


@pytest.mark.usefixtures("workspace")
def test_the_list_goes_when_all_is_mended(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", PETS | BROKEN)
    save(root, "skip")
    for name in BROKEN:
        (root / name).write_bytes(RED)
    save(root)
    assert not Path("data/broken.txt").exists()
    assert "skipped" not in read_json(Path("data/raw/manifest.json"))


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("packed", [False, True])
def test_skipped_files_leave_no_gap(tmp_path: Path, packed: bool) -> None:
    whole = {name: content for name, content in PETS.items() if name not in BROKEN}
    save(write_folder(tmp_path / "whole", whole))
    expected = read_arrays()
    files = PETS | BROKEN
    write = write_tar_gz if packed else write_folder
    lines = save(write(tmp_path / "pets", files), "skip")
    assert read_arrays() == expected
    names = ["cats/0.png", "cats/2.png", "dogs/4.jpg"]
    assert lines[-1] == f"skipped 3 that cannot be read: {', '.join(names)}"
    manifest = read_json(Path("data/raw/manifest.json"))
    assert manifest["skipped"] == {"count": 3, "names": names}
    assert (manifest["n_images"], manifest["counts"]["train"]) == (5, 5)
    assert manifest["note"].endswith("less 3 that cannot be read.")


@pytest.mark.usefixtures("workspace")
def test_a_class_of_broken_files_alone_is_an_error_also_where_they_are_skipped(
    tmp_path: Path,
) -> None:
    root = write_folder(tmp_path / "pets", PETS | {"birds/1.jpg": b""})
    with pytest.raises(DataError, match="no image of birds in train can be read: add some"):
        save(root, "skip")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("packed", [False, True])
def test_values_of_12_bits_in_files_of_16_are_scaled(tmp_path: Path, packed: bool) -> None:
    files = {"a/1.png": grey(4095), "a/2.png": grey(2048), "b/1.png": grey(16), "b/2.png": RED}
    lines = save((write_tar_gz if packed else write_folder)(tmp_path / "x", files))
    assert lines[1:] == ["values of more than 8 bits: 12 hold all values, scaled to 8"]
    assert read_json(Path("data/raw/manifest.json"))["bits"] == 12
    images = open_images(Path("data/raw/images"))[:]
    assert images[:3, 4, 4, 0].tolist() == [255, 128, 1]
    assert images[3, 4, 4].tolist() == [255, 0, 0]


@pytest.mark.usefixtures("workspace")
def test_one_picture_of_16_bits_leaves_the_others_dark(tmp_path: Path) -> None:
    """The range is the data set's, so that brightness means the same in all pictures."""
    files = {"a/1.png": grey(65535), "a/2.png": grey(4095), "b/1.png": grey(256)}
    save(write_folder(tmp_path / "x", files))
    assert open_images(Path("data/raw/images"))[:][:, 0, 0, 0].tolist() == [255, 15, 1]


@pytest.mark.usefixtures("workspace")
def test_photos_stored_too_small_and_photos_too_small_are_said(tmp_path: Path) -> None:
    large = encode(paint("red", (80, 64)))
    files = {"a/1.png": large, "a/2.png": large, "b/1.png": large, "b/2.png": encode(paint(0))}
    root = write_folder(tmp_path / "x", files | {"b/3.png": encode(paint("red", (9, 1)))})
    assert save(root)[1:] == [
        "1 with a side below a quarter of data.image_px 8: b/3.png (1 px)",
        "photos of 64 px stored at 8 px: set data.image_px",
    ]
    assert save(root, image_px=16)[2:] == []


@pytest.mark.usefixtures("workspace")
def test_a_manifest_of_plain_images_says_no_more_than_it_did(tmp_path: Path) -> None:
    save(write_folder(tmp_path / "pets", PETS))
    assert set(read_json(Path("data/raw/manifest.json"))) == {
        *("source", "official", "name", "sha256", "verified", "note"),
        *("image_px", "n_images", "n_classes", "counts"),
    }
