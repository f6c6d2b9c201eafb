from pathlib import Path

import yaml

from flows.engine.glance import describe_sizes
from flows.engine.plan import PlannedStage, Verdict
from tests.vision.data.pictures import encode, paint, write_folder

PHOTOS = {f"{name}/1.jpg": encode(paint("red", (90, 80)), "JPEG") for name in "ab"}


def describe(verdict: Verdict, **changed: object) -> list[str]:
    plan = [PlannedStage("download", verdict, (), (), {})]
    return describe_sizes(plan, {f"data.{key}": value for key, value in changed.items()})


def test_a_plan_says_that_photos_lose_most_of_their_detail(workspace: Path) -> None:
    write_folder(workspace / "photos", PHOTOS)
    Path("digits.yaml").write_text("reader: digits")
    Path("params.yaml").write_text(yaml.safe_dump({"data": {"source": "photos", "image_px": 8}}))
    assert describe("run") == ["photos of 80 px stored at 8 px: set data.image_px"]
    assert describe("cached") == describe("run", image_px=16) == []
    assert describe("run", source="digits.yaml") == []
