import shutil
from pathlib import Path

import pytest
import yaml
from dvc.cli import main as dvc

from flows.engine.photos import Photo, compare_photos
from flows.engine.plan import make_plan
from tests.vision.data.pictures import encode, paint, write_folder
from vision.data.dataset import RAW_DIR
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

DATA = {"source": "photos", "image_px": 8, "broken": "skip"}
PHOTOS = {
    f"{name}/{n}.png": encode(paint((n, shade, 0)))
    for shade, name in enumerate(("cat", "dog"))
    for n in range(9)
}
OTHERS = {"README.md": b"#", "cat/broken.jpg": b""}
BEFORE = {"a/1": Photo("1", "a"), "a/2": Photo("2", "a"), "b/1": Photo("3", "b")}


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (BEFORE, ""),
        (BEFORE | {f"a/x{n}": Photo(f"x{n}", "a") for n in range(12)}, "12 photos more"),
        ({name: photo for name, photo in BEFORE.items() if name != "b/1"}, "1 photo fewer"),
        (BEFORE | {"a/1": Photo("x", "a")}, "1 photo replaced"),
        ({"a/1": BEFORE["a/1"], "a/3": BEFORE["a/2"], "b/1": BEFORE["b/1"]}, "1 photo renamed"),
        (
            {"a/1": BEFORE["a/1"], "b/2": Photo("2", "b"), "b/1": Photo("3", "a")},
            "2 photos of another class",
        ),
        (
            {"a/1": Photo("x", "a"), "a/2": BEFORE["a/2"], "b/0": Photo("y", "b")},
            "1 photo more, 1 fewer, 1 replaced",
        ),
        (BEFORE | {"b/copy": Photo("1", "b")}, "1 photo more"),
    ],
)
def test_what_changed_is_counted_once(now: dict[str, Photo], text: str) -> None:
    assert compare_photos(BEFORE, now) == text


def find_reasons() -> tuple[str, ...]:
    return make_plan(Path())[0].reasons


def test_the_plan_counts_the_photos_that_changed(workspace: Path) -> None:
    root = write_folder(workspace / "photos", PHOTOS | OTHERS)
    (workspace / ".dvc").mkdir()
    (workspace / ".dvc/config").write_text("[core]\nno_scm = true\n")
    (workspace / "params.yaml").write_text(yaml.safe_dump({"data": DATA}))
    stage = {"cmd": "true", "deps": ["photos"], "params": ["data"], "outs": [str(RAW_DIR)]}
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"download": stage}}))
    params = DataParams.model_validate(DATA)
    save_raw(open_user_images(root, params), params.image_px, RAW_DIR, params.broken)
    assert dvc(["commit", "-f", "-q"]) == 0
    assert find_reasons() == ()
    for n in range(12):
        (root / f"dog/new{n}.png").write_bytes(encode(paint((n, 99, 0))))
    (root / "cat/0.png").write_bytes(encode(paint((99, 99, 0))))
    (root / "LICENSE").write_bytes(b"free")
    assert find_reasons() == ("photos changed: 12 photos more, 1 replaced",)
    shutil.rmtree(RAW_DIR)  # DVC's cache has it
    assert find_reasons()[0] == "photos changed: 12 photos more, 1 replaced"
    shutil.rmtree(".dvc/cache")
    assert find_reasons()[0] == "photos changed"
