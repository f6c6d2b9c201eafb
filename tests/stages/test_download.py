import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import download
from stages.runner import run_stage
from tests.vision.data.pictures import BLUE, RED, encode, paint, write_folder
from vision.base.files import read_array, read_json
from vision.data.dataset import ImageSet
from vision.data.images import decode_image
from vision.data.shards import open_images
from vision.data.storing import save_raw
from vision.schema.recipes import TrainParams
from vision.training.recipes import describe_model

DVC = """
stages:
  download: {cmd: x, params: [data], deps: ["${data.source}"]}
  download-weights:
    matrix: {model: [paper]}
    cmd: x
    params: ["finetune.${item.model}.weights"]
"""
PARAMS = TrainParams(epochs=1, batch_size=2, optimizer="sgd", learning_rate=0.1)
PETS = {"cats/1.png": RED, "dogs/1.png": BLUE, "dogs/2.jpg": encode(paint("blue", (40, 9)), "JPEG")}


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    Path("dvc.yaml").write_text(DVC)
    Path("digits.yaml").write_text("reader: digits")


def set_source(source: str) -> None:
    Path("params.yaml").write_text(f"data: {{source: {source}, image_px: 16}}")


def run_download() -> int:
    return run_stage(["download"])


def read_outs(folder: str) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_all_files_of_a_data_set_are_written() -> None:
    set_source("digits.yaml")
    assert run_download() == 0
    expected = {"images/shard.npy", "images/rows.npy", "labels.npy", "subsets.npy"}
    expected |= {"files.csv", "classes.json", "manifest.json"}
    assert set(read_outs("data/raw")) == expected


def test_a_letterbox_is_noted_beside_the_images_until_they_are_cropped(workspace: Path) -> None:
    write_folder(workspace / "pets", PETS)
    set_source("pets")
    run_download()
    cropped = read_outs("data/raw")
    Path("params.yaml").write_text("data: {source: pets, image_px: 16, fit: letterbox}")
    assert run_download() == 0
    data = ImageSet(open_images(Path("data/raw/images")), *read_labels(), ("cats", "dogs"))
    assert data.fit == describe_model("resnet18", PARAMS, data).fit == "letterbox"
    assert read_json(Path("data/raw/manifest.json"))["fit"] == "letterbox"
    seen = decode_image(PETS["dogs/2.jpg"], "2.jpg", 16, fit=data.fit)
    assert np.array_equal(data.images[2], seen)
    assert (seen[0] == 0).all()
    set_source("pets")
    run_download()
    assert read_outs("data/raw") == cropped


def read_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, and the rows of all images."""
    labels = read_array(Path("data/raw/labels.npy"))
    return labels, np.arange(len(labels))


@pytest.mark.parametrize("source", ["digits.yaml", "pets"])
def test_two_runs_write_the_same_bytes(workspace: Path, source: str) -> None:
    write_folder(workspace / "pets", PETS)
    set_source(source)
    run_download()
    first = read_outs("data/raw")
    shutil.rmtree("data/raw")
    run_download()
    assert read_outs("data/raw") == first


def test_a_folder_elsewhere_gives_the_same_bytes(workspace: Path) -> None:
    outs = []
    for parent in ("here", "there"):
        write_folder(workspace / parent / "pets", dict(reversed(PETS.items())))
        set_source(f"{parent}/pets")
        run_download()
        outs.append(read_outs("data/raw"))
    assert outs[0] == outs[1]


def test_a_photo_that_changes_while_it_is_read_fails_the_stage(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(workspace / "pets", PETS)
    set_source("pets")

    def save(*arguments: Any) -> list[str]:
        lines = save_raw(*arguments)
        Path("pets/cats/1.png").write_bytes(BLUE)
        return lines

    monkeypatch.setattr(download, "save_raw", save)
    assert run_download() == 1
    assert "pets changed while download was running" in capsys.readouterr().err


def test_what_is_left_out_and_skipped_is_said(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(workspace / "pets", PETS | {"LICENSE": b"text", "dogs/3.png": b""})
    Path("params.yaml").write_text("data: {source: pets, image_px: 16, broken: skip}")
    assert run_download() == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 images in 2 classes, from the folder pets, less 1 that cannot be read.",
        "left out 1 other files (1 none): LICENSE",
        "skipped 1 that cannot be read: dogs/3.png",
    ]


def test_an_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    set_source("nowhere")
    assert run_download() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_key_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("data: {source: digits.yaml, image_size: 16}")
    assert run_download() == 1
    assert "image_size" in capsys.readouterr().err


def test_weights_none_writes_a_manifest() -> None:
    Path("params.yaml").write_text("finetune: {paper: {architecture: resnet18, weights: none}}")
    assert run_stage(["download-weights", "paper"]) == 0
    assert set(read_outs("data/pretrained/paper")) == {"manifest.json"}
