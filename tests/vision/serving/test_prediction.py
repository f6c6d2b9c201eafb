import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_image
from typer.testing import CliRunner

from flows.cli import app
from tests.conftest import CLASSES, make_images
from vision.base.errors import PipelineError
from vision.base.files import sha256_of, write_json
from vision.data.dataset import ImageSet
from vision.models.batches import to_input
from vision.models.inference import predict_batches, predict_logits
from vision.models.networks import ModelSpec, build_model, load_model, save_model
from vision.serving.export import export_onnx
from vision.serving.prediction import Predictor, find_model, list_files

VIEWS = {"test_flip": True, "test_shift_px": 1}
SPEC = ModelSpec("resnet18", CLASSES, 8, 32, (0.4,) * 3, (0.2,) * 3, "bf16", **VIEWS)


@pytest.fixture
def trained(workspace: Path) -> Path:
    """A model of three colours, and an image of each: blue.png, green.png, red.png."""
    torch.manual_seed(0)
    save_model(Path("data/models/mine/best.safetensors"), build_model(SPEC).state_dict(), SPEC)
    write_calibration(2.0)
    images, _ = make_images(1)
    for name, image in zip(CLASSES, images, strict=True):
        path = workspace / f"photos/{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return workspace


def write_calibration(temperature: float, name: str = "mine") -> None:
    model = Path("data/models/mine/best.safetensors")
    found = {"temperature": temperature, "n_val": 90, "n_wrong": 12, "is_fitted": True}
    path = Path(f"data/predictions/{name}/calibration.json")
    write_json(path, found | {"model_sha256": sha256_of(model)})


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["predict", "mine", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_files_are_judged_as_the_stage_judges_them(trained: Path) -> None:
    images, labels = make_images(1)
    data = ImageSet(images, labels, np.arange(3), CLASSES)
    model, spec = load_model(find_model("mine"))
    expected = torch.from_numpy(predict_logits(model, spec, data, 3, "") / 2).softmax(1).numpy()
    found = Predictor(find_model("mine")).predict(list_files(["photos"]), top=3)
    for prediction, row in zip(found, expected, strict=True):
        assert prediction.classes[0] == CLASSES[row.argmax()]
        assert prediction.probabilities == pytest.approx(sorted(row, reverse=True), abs=1e-5)


def test_grey_of_12_bits_is_scaled_as_the_training_images_were(trained: Path) -> None:
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(trained / "bright.png")
    dark = Predictor(find_model("mine"))._open("bright.png")
    write_json(Path("data/raw/manifest.json"), {"bits": 12})
    bright = Predictor(find_model("mine"))._open("bright.png")
    assert (dark.max(), bright.min()) == (15, 255)


def test_files_folders_and_globs_are_found_once_each(trained: Path) -> None:
    (trained / "photos/notes.txt").touch()
    every = [f"photos/{name}.png" for name in CLASSES]
    assert list_files(["photos"]) == every
    assert list_files(["photos/g*.png", "photos", "photos/red.png"]) == [
        every[1],
        every[0],
        every[2],
    ]
    assert list_files(["nothing/*.png"]) == ["nothing/*.png"]


def test_a_copy_of_a_model_is_as_calibrated_and_another_model_is_not(trained: Path) -> None:
    copied = trained / "copy.safetensors"
    copied.write_bytes(Path("data/models/mine/best.safetensors").read_bytes())
    assert Predictor(copied).calibration.temperature == 2.0
    torch.manual_seed(1)
    save_model(copied, build_model(SPEC).state_dict(), SPEC)
    result = CliRunner().invoke(app, ["predict", "copy.safetensors", "photos"])
    assert Predictor(copied).calibration.temperature == 1.0
    assert result.exit_code == 0
    assert result.stderr == (
        "confidence is not calibrated: this model was not evaluated: run dvc repro evaluate\n"
    )


def test_a_photo_is_letterboxed_where_the_training_images_were(trained: Path) -> None:
    Image.new("RGB", (16, 8), "red").save(trained / "wide.png")
    boxed = trained / "boxed.safetensors"
    save_model(boxed, build_model(SPEC).state_dict(), replace(SPEC, fit="letterbox"))
    seen = [Predictor(path)._open("wide.png") for path in (find_model("mine"), boxed)]
    assert [bool((pixels[0] == 0).all()) for pixels in seen] == [False, True]


@pytest.mark.usefixtures("trained")
def test_a_model_without_numbers_is_one_line() -> None:
    state = build_model(SPEC).state_dict()
    state["fc.bias"][0] = torch.nan
    save_model(Path("broken.safetensors"), state, SPEC)
    with pytest.raises(PipelineError, match=r"^broken.safetensors: the logits of 3 of 3 images"):
        list(Predictor(Path("broken.safetensors")).predict(list_files(["photos"]), 1))


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("name", ["x.json", "x", "x.py"])
def test_what_is_no_onnx_file_is_not_written(name: str) -> None:
    result = CliRunner().invoke(app, ["export", "mine", "--out", name])
    assert isinstance(result.exception, PipelineError)
    assert str(result.exception) == f"{name} cannot be written: give it the suffix .onnx"
    assert not Path(name).exists()


@pytest.mark.usefixtures("trained")
def test_csv_and_json_hold_the_same() -> None:
    _, text, _ = call("photos", "--format", "csv", "--top", "2")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in rows] == ["1", "2"] * 3
    found = json.loads(call("photos", "--format", "json", "--top", "2")[1])
    assert [(row["file"], row["class"], float(row["confidence"])) for row in rows] == [
        (entry["file"], each["class"], each["confidence"])
        for entry in found
        for each in entry["predictions"]
    ]


def test_bad_files_are_named_and_skipped(trained: Path) -> None:
    (trained / "photos/broken.png").write_bytes(b"no image")
    (trained / "photos/notes.txt").touch()
    status, text, errors = call("photos", "photos/notes.txt", "photos/none.png")
    assert status == 3
    assert all(name in text for name in CLASSES)
    assert errors.count("skipped: ") == errors.count("\n") == 3
    for file in ("broken.png", "notes.txt", "none.png"):
        assert file in errors


def test_bad_files_are_rows_in_csv_and_json(trained: Path) -> None:
    (trained / "photos/broken.png").write_bytes(b"no image")
    status, text, _ = call("photos", "--format", "csv", "--top", "1")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert status == 3
    assert [Path(row["file"]).stem for row in rows] == ["blue", "broken", "green", "red"]
    assert [bool(row["error"]) for row in rows] == [False, True, False, False]
    found = json.loads(call("photos", "--format", "json", "--top", "1")[1])
    assert [row["error"] and row["file"] in row["error"] for row in found] == [
        None,
        True,
        None,
        None,
    ]
    assert [len(row["predictions"]) for row in found] == [1, 0, 1, 1]


def test_nothing_but_bad_files_is_an_error(trained: Path) -> None:
    (trained / "photos/broken.png").write_bytes(b"no image")
    assert call("photos/broken.png")[0] == 1


def test_a_folder_without_images_is_one_line_that_says_what_it_has(trained: Path) -> None:
    others = trained / "others"
    (others / "more").mkdir(parents=True)
    assert call("others") == (1, "", "no images in others: there are no files in it\n")
    (others / "clip.MOV").touch()
    assert call("others") == (1, "", "no images in others: 1 other file (.mov)\n")
    for name in ("b.mov", "LICENSE", "more/a.txt", "a.txt.1", "b.2", "c.3"):
        (others / name).touch()
    shown = "no images in others: 7 other files (.mov, .1, .2, .3, .txt, ...)\n"
    assert call("others") == (1, "", shown)
    assert call("others", "photos")[::2] == (3, f"skipped: {shown}")


@pytest.mark.usefixtures("trained")
def test_the_table_names_the_best_class_of_each_image() -> None:
    _, text, _ = call("photos")
    assert all(name in text for name in CLASSES)


@pytest.mark.usefixtures("trained")
def test_an_unknown_model_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(PipelineError, match="trained here: mine"):
        find_model("yours")


@pytest.mark.slow
def test_onnx_agrees_and_says_what_it_is(trained: Path) -> None:
    facts = export_onnx(find_model("mine"), Path("exports/mine.onnx"))
    assert facts["largest_difference"] < 1e-4
    assert json.loads(Path("exports/mine.json").read_text()) == facts
    import onnxruntime

    session = onnxruntime.InferenceSession("exports/mine.onnx")
    images, _ = make_images(4)
    probabilities, logits = session.run(None, {"images": images})
    data = ImageSet(images, np.zeros(12, np.int64), np.arange(12), CLASSES)
    model, spec = load_model(find_model("mine"))
    expected = predict_logits(model, replace(spec, precision="fp32"), data, 12, "")
    assert logits == pytest.approx(expected, abs=1e-4)
    assert probabilities == pytest.approx(softmax(expected / 2, axis=1), abs=1e-5)
    assert (facts["temperature"], facts["calibrated"]) == (2.0, True)
    assert facts["views"] == {"count": 6, "flip": True, "shift_px": 1}
    check_example(trained)


def check_example(folder: Path) -> None:
    """The script beside the graph says of photos what `predict` says, in another Python."""
    for name, options in PHOTOS.items():
        make_photo().convert("RGBA" if name == "clear.png" else "RGB").save(
            folder / name, **options
        )
    command = [sys.executable, "exports/mine.example.py", *PHOTOS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    spec = replace(SPEC, precision="fp32")
    state = load_model(find_model("mine"))[0].state_dict()
    save_model(Path("data/models/mine/best.safetensors"), state, spec)
    write_calibration(2.0)
    for row, said in zip(rows, Predictor(find_model("mine")).predict(PHOTOS, 1), strict=True):
        assert row[:2] == [said.file, said.classes[0]]
        assert float(row[2]) == pytest.approx(said.probabilities[0], abs=1e-3)


PHOTOS: dict[str, dict[str, Any]] = {
    "photo.jpg": {},
    "turned.jpg": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
    "clear.png": {},
}


def make_photo() -> Image.Image:
    """Return a real photo, its left half half transparent."""
    photo = Image.fromarray(load_sample_image("china.jpg")).convert("RGBA")
    photo.paste((200, 30, 60, 90), (0, 0, 300, 427))
    return photo


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_a_whitened_network_is_exported_with_views_for_unsure_images() -> None:
    options = {"widths": [4, 6, 6], "convolutions": 3}
    spec = replace(SPEC, architecture="whitened-cnn", input_px=16, options=options)
    model = build_model(spec).eval()
    images = torch.randint(256, (16, 8, 8, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        sure = model(to_input(images, spec)).softmax(1).amax(1)
    below = float(sure.median())
    spec = replace(spec, precision="fp32", test_views_below=below, fit="letterbox")
    save_model(Path("mine.safetensors"), model.state_dict(), spec)
    facts = export_onnx(Path("mine.safetensors"), Path("exports/mine.onnx"))
    assert facts["largest_difference"] < 1e-6
    assert facts["views"] == {"count": 6, "flip": True, "shift_px": 1, "below": below}
    assert "fill the rest with black bars" in facts["preparation"]["before_the_graph"]
    assert "ImageOps.pad(" in Path("exports/mine.example.py").read_text()
    import onnxruntime

    session = onnxruntime.InferenceSession("exports/mine.onnx")
    found = session.run(["logits"], {"images": images.byte().numpy()})[0]
    expected = predict_batches(model, spec, [images.byte()])
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_an_export_that_disagrees_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, architecture="two-layer-fc", options={"hidden_units": 4}, test_shift_px=0)
    save_model(Path("mine.safetensors"), build_model(spec).state_dict(), spec)
    monkeypatch.setattr("vision.serving.export.TOLERANCE", -1.0)
    with pytest.raises(PipelineError, match="disagree by"):
        export_onnx(Path("mine.safetensors"), Path("exports/mine.onnx"))
    assert not list(Path("exports").iterdir())


@pytest.mark.usefixtures("trained")
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PipelineError, match="pip install onnx onnxruntime onnxscript"):
        export_onnx(find_model("mine"), Path("exports/mine.onnx"))
