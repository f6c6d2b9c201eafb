"""The layouts of archives that tutorials begin with, made small, from `data.source` to the report.

What is read of each, file by file: tests/vision/data/test_tutorials.py.
"""

import csv
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.stages.whole import run_all, write_params
from tests.vision.data.pictures import encode, write_tar_gz
from vision.base.files import read_json

N = 14  # images of each class
ROI = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def draw(names: Iterable[str], format_: str = "JPEG") -> dict[str, bytes]:
    """Return a noisy picture for each file; its folder, the class, decides on the colour."""
    rng = np.random.default_rng(0)
    files = {}
    for name in names:
        shade = sum(Path(name).parent.name.encode()) * 37 % 200
        noise = rng.integers(0, 50, (8, 8, 3)) + np.array([shade, 200 - shade, 90])
        files[name] = encode(Image.fromarray(noise.astype(np.uint8)), format_)
    return files


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_flowers() -> Path:
    kinds = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    files = draw(f"flower_photos/{kind}/{n}_{kind}.jpg" for kind in kinds for n in range(N))
    return write_tar_gz(Path("flower_photos.tgz"), files | {"flower_photos/LICENSE.txt": b"CC"})


def write_imagenette() -> Path:
    kinds, parts = ("n01440764", "n02102040", "n03000684"), ("train", "val")
    files = draw(
        f"imagenette2-160/{part}/{kind}/{kind}_{n}.JPEG"
        for part in parts
        for kind in kinds
        for n in range(N)
    )
    rows = [f"{name[16:]},{name.split('/')[2]},{'/val/' in name}" for name in files]
    table = "\n".join(["path,noisy_labels_0,is_valid", *rows]).encode()
    return write_tar_gz(
        Path("imagenette2-160.tgz"), files | {"imagenette2-160/noisy_imagenette.csv": table}
    )


def write_cats_and_dogs() -> Path:
    files = draw(f"PetImages/{kind}/{n}.jpg" for kind in ("Cat", "Dog") for n in range(N))
    files |= {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": b"\xff\xd8\xff\xe0JFIF"}
    files |= {"PetImages/Cat/Thumbs.db": b"\xd0\xcf", "readme[1].txt": b"", "MSR-LA.docx": b"PK"}
    return write_zip(Path("kagglecatsanddogs_5340.zip"), files)


def write_traffic_signs() -> Path:
    root, kinds = "GTSRB/Final_Training/Images", ("00000", "00001", "00002")
    files = draw((f"{root}/{kind}/00000_{n:05}.ppm" for kind in kinds for n in range(N)), "PPM")
    for kind in kinds:
        rows = [f"00000_{n:05}.ppm;8;8;1;1;7;7;{int(kind)}" for n in range(N)]
        files[f"{root}/{kind}/GT-{kind}.csv"] = "\n".join([ROI, *rows]).encode()
    return write_zip(Path("GTSRB_Final_Training_Images.zip"), files)


def write_roboflow() -> Path:
    files = draw(
        f"{part}/{kind}/img{n}_jpg.rf.{n:032x}.jpg"
        for part in ("train", "valid", "test")
        for kind in ("bolt", "nut")
        for n in range(N)
    )
    readmes = {"README.roboflow.txt": b"", "README.dataset.txt": b""}
    return write_zip(Path("parts.v1i.folder.zip"), files | readmes)


@pytest.mark.parametrize(
    ("write", "n_classes", "broken"),
    [
        (write_flowers, 5, "fail"),
        (write_imagenette, 3, "fail"),
        (write_cats_and_dogs, 2, "skip"),
        (write_traffic_signs, 3, "fail"),
        (write_roboflow, 2, "fail"),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_an_archive_of_a_tutorial_is_trained_on(
    write: Callable[[], Path], n_classes: int, broken: str
) -> None:
    fractions = {"val_fraction": 0.1, "test_fraction": 0.2}
    write_params(str(write()), data={"broken": broken}, split=fractions)
    run_all()
    counts = read_json(Path("data/split/summary.json"))
    assert all(len(part["per_class"]) == n_classes for part in counts.values())
    assert all(min(part["per_class"].values()) > 0 for part in counts.values())
    assert read_json(Path("reports/metrics.json"))["models"]["fc"]["test_accuracy"] > 1 / n_classes


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_wrong_labels_and_rare_classes_are_named_in_the_report() -> None:
    names = [f"photos/{kind}/{n}.png" for kind in ("cat", "dog") for n in range(40)]
    files = draw([*names, "photos/owl/1.png", "photos/owl/2.png"], "PNG")
    wrong = {f"photos/dog/wrong-{n}.png" for n in range(12)}
    cats = draw((f"photos/cat/{Path(name).name}" for name in sorted(wrong)), "PNG")
    files |= dict(zip(sorted(wrong), cats.values(), strict=True))
    fractions = {"val_fraction": 0.3, "test_fraction": 0.3, "rare": "train"}
    write_params(str(write_zip(Path("photos.zip"), files)), split=fractions)
    run_all()
    with Path("reports/predictions.csv").open(newline="") as table:
        judged = {row["path"]: row for row in csv.DictReader(table)}
    found = wrong & {name for name, row in judged.items() if row["prediction"] != row["label"]}
    assert found == wrong & judged.keys() != set()
    report = Path("reports/report.md").read_text()
    assert "In train alone, for too few images | owl (2 images)" in report
    assert all(name in report.replace("\\", "") for name in found)
    model = read_json(Path("data/predictions/fc/metrics.json"))
    assert model["per_class"]["owl"]["support"] == 0
    assert model["macro_avg"]["f1"] > 0.6  # of two classes, not three
