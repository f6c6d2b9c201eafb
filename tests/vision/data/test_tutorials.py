"""The layouts of archives that tutorials begin with, made small, are read as they come."""

import zipfile
from pathlib import Path

import pytest

from tests.vision.data.pictures import BLUE, RED, encode, paint, write_tar_gz
from vision.base.files import read_json
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

JPEG = encode(paint("red"), "JPEG")


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def save(path: Path, **others: object) -> tuple[list[str], list[str], dict[str, int]]:
    """Return the lines after the first, the classes and the images of each subset."""
    params = DataParams.model_validate({"source": "x", "image_px": 8, **others})
    lines = save_raw(open_user_images(path, params), 8, Path("data/raw"), params.broken)
    manifest = read_json(Path("data/raw/manifest.json"))
    return lines[1:], read_json(Path("data/raw/classes.json")), manifest["counts"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(workspace: Path) -> None:
    pass


def test_flowers(tmp_path: Path) -> None:
    files = {f"flower_photos/{name}/{n}.jpg": JPEG for name in ("daisy", "roses") for n in range(3)}
    path = write_tar_gz(tmp_path / "flowers.tgz", files | {"flower_photos/LICENSE.txt": b"CC"})
    assert save(path) == (
        ["left out 1 other files (1 .txt): flower_photos/LICENSE.txt"],
        ["daisy", "roses"],
        {"train": 6, "val": 0, "test": 0},
    )


@pytest.mark.parametrize("labels", [None, "noisy_imagenette.csv"])
def test_imagenette_by_its_folders_and_by_its_table(tmp_path: Path, labels: str | None) -> None:
    files = {
        f"im/{part}/{name}/{name}_{n}.JPEG": JPEG
        for part in ("train", "val")
        for name in ("n01", "n02")
        for n in (f"{part}1", f"{part}2")
    }
    rows = [f"{name[3:]},{name.split('/')[2]},n02,{'/val/' in name}" for name in files]
    table = "\n".join(["path,noisy_labels_0,noisy_labels_1,is_valid", *rows])
    path = write_tar_gz(tmp_path / "im.tgz", files | {"im/noisy_imagenette.csv": table.encode()})
    lines, *found = save(path, labels=labels)
    assert found == [["n01", "n02"], {"train": 4, "val": 4, "test": 0}]
    assert lines == ([] if labels else ["left out 1 other files (1 .csv): im/noisy_imagenette.csv"])


def test_cats_and_dogs_with_its_broken_files(tmp_path: Path) -> None:
    files = {f"PetImages/{name}/{n}.jpg": JPEG for name in ("Cat", "Dog") for n in range(3)}
    files |= {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": JPEG[:150]}
    files |= {"PetImages/Cat/Thumbs.db": b"\xd0\xcf", "readme[1].txt": b"", "MSR.docx": b"PK"}
    lines, *found = save(write_zip(tmp_path / "pets.zip", files), broken="skip")
    assert found == [["Cat", "Dog"], {"train": 6, "val": 0, "test": 0}]
    assert lines == [
        "left out 3 other files (1 .db, 1 .docx, 1 .txt): MSR.docx, PetImages/Cat/Thumbs.db, "
        "readme[1].txt",
        "skipped 2 that cannot be read: PetImages/Cat/666.jpg, PetImages/Dog/11702.jpg",
    ]


def test_traffic_signs_with_their_tables(tmp_path: Path) -> None:
    files = {f"Train/{label}/{label}_{n}.png": RED for label in (0, 1) for n in range(3)}
    files |= {f"Test/{n}.png": BLUE for n in range(2)} | {"Meta/0.png": RED, "Meta/1.png": BLUE}
    rows = [f"27,{name.split('/')[1]},{name}" for name in files if "Train" in name]
    files["Train.csv"] = "\n".join(["Width,ClassId,Path", *rows]).encode()
    path = write_zip(tmp_path / "signs.zip", files)
    found = [["0", "1"], {"train": 6, "val": 0, "test": 0}]
    without = "4 without labels: pipeline predict"
    assert save(path) == (["left out 1 other files (1 .csv): Train.csv", without], *found)
    assert save(path, labels="Train.csv") == ([without], *found)


def test_traffic_signs_as_first_published(tmp_path: Path) -> None:
    files = {
        f"GTSRB/Final_Training/Images/0000{label}/{n}.ppm": encode(paint("red"), "PPM")
        for label in (0, 1)
        for n in range(3)
    }
    files["GTSRB/Final_Training/Images/00000/GT-00000.csv"] = b"Filename;ClassId"
    files["GTSRB/Readme-Images.txt"] = b""
    assert save(write_zip(tmp_path / "signs.zip", files))[1] == ["00000", "00001"]


def test_an_export_of_roboflow(tmp_path: Path) -> None:
    files = {
        f"{part}/{name}/a_jpg.rf.{n}.jpg": JPEG
        for part in ("train", "valid", "test")
        for name in ("bolt", "nut")
        for n in range(2)
    }
    files |= {"README.roboflow.txt": b"", "README.dataset.txt": b""}
    _, *found = save(write_zip(tmp_path / "x.zip", files))
    assert found == [["bolt", "nut"], {"train": 4, "val": 4, "test": 4}]
