"""Photos whose classes and files are named to do harm go through all stages and into the report."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from playwright.sync_api import expect

from stages.runner import run_stage
from tests.browser import listen, start_browser
from tests.projects import ROOT
from tests.stages.whole import run_all, write_params
from vision.base.errors import SourceError
from vision.base.files import read_json
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.data.trees import open_tree
from vision.schema.data import DataParams

CLASSES = {
    "markup": "<img src=x onerror=window.harmed=1>",
    "attribute": "\"'><svg onload=window.harmed=1>",
    "template": "{{ 7 * 191 }}${7 * 191}",
    "shell": "$(touch harmed); `touch harmed`",
    "long": "ü" * 127,
    "Markdown": "[a](javascript:window.harmed=1)|*b*",
}


@pytest.fixture
def hostile(workspace: Path) -> Path:
    """A project whose photos are 6 in each of the classes above."""
    rng = np.random.default_rng(0)
    for shade, name in enumerate(CLASSES.values()):
        folder = workspace / "photos" / name
        folder.mkdir(parents=True)
        for n in range(6):
            noise = rng.integers(0, 30, (8, 8, 3), dtype=np.uint8) + 25 * shade
            Image.fromarray(noise.astype(np.uint8)).save(folder / f"{n}<b>'\"\n;.png")
    write_params("photos")
    return workspace


@pytest.mark.slow
def test_hostile_names_run_nothing_and_change_nothing(hostile: Path) -> None:
    run_all()
    assert read_json(Path("data/raw/classes.json")) == sorted(CLASSES.values())
    assert not list(hostile.rglob("harmed"))
    with start_browser() as browser, browser.new_page() as page:
        noise = listen(page)
        page.goto((hostile / "reports/report.html").as_uri())
        assert page.evaluate("window.harmed") is None
        expect(page.locator("svg[onload], [onerror]")).to_have_count(0)
        assert "1337" not in page.locator("body").inner_text()
    assert not noise.complaints
    assert len(noise.requests) == 1  # the report itself


@pytest.mark.parametrize("source", ["$(touch harmed)", "; touch harmed", "`touch harmed`", "-rf"])
def test_shell_text_in_a_param_is_text(
    hostile: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["data"]["source"] = source
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    assert run_stage(["download"]) == 1
    assert source in capsys.readouterr().err
    assert not list(hostile.rglob("harmed"))


@pytest.mark.parametrize("name", ["two\nlines", "\u202eevil", "bad\udcff", "a\x1b[2J"])
def test_a_class_whose_name_cannot_be_shown_is_refused(workspace: Path, name: str) -> None:
    """A file system takes any bytes but 0 and /; so do archives."""
    (workspace / "photos" / name).mkdir(parents=True)
    (workspace / "photos" / name / "1.png").touch()
    with pytest.raises(SourceError, match="cannot be shown") as caught:
        open_tree(Path("photos"))
    assert str(caught.value).isprintable()


def test_a_file_whose_name_is_no_text_is_read(workspace: Path) -> None:
    for name in ("cat", "dog"):
        path = workspace / "photos" / name / "bad\udcff.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    tree = open_tree(Path("photos"))
    assert len(list(tree.read(8))) == 2
    raw = open_user_images(Path("photos"), DataParams(source="photos", image_px=8))
    save_raw(raw, 8, Path("raw"))
