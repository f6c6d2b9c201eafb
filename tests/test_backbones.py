"""Own photos at 224 pixels with networks of today, from the folder to the report and to ONNX."""

from pathlib import Path
from typing import Any

import pytest

from tests.stages.whole import run_all, write_params
from tests.test_tutorials import draw, write_zip
from vision.base.files import read_json
from vision.evaluation import cost
from vision.serving.export import export_onnx

RECIPE = {
    "weights": "none",
    "epochs": 1,
    "batch_size": 8,
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "flip": True,
}
RECIPES: dict[str, dict[str, Any]] = {
    "convnext": RECIPE
    | {"architecture": "convnext_tiny", "input_px": 96, "layer_decay": 0.7},  # 224 takes minutes
    "efficient": RECIPE | {"architecture": "efficientnet_b0", "train_from": "features.6"},
}


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_own_photos_are_learnt_by_networks_of_today_and_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "BATCHES", (1, 2))
    monkeypatch.setattr(cost, "REPEATS", {1: 2, 2: 1})
    monkeypatch.setattr(cost, "WARMUPS", {1: 1, 2: 0})
    monkeypatch.setattr(cost, "PHOTO_REPEATS", 1)
    photos = draw(f"photos/{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(8))
    write_params(
        str(write_zip(Path("photos.zip"), photos)),
        data={"image_px": 224},
        finetune=RECIPES,
        models={"baselines": [], "finetune": [*RECIPES], "averages": {}, "evaluate": [*RECIPES]},
        robustness={"images": 2, "batch_size": 2},
        split={"val_fraction": 0.2, "test_fraction": 0.2},
    )
    run_all()
    report = Path("reports/report.md").read_text()
    for name, recipe in RECIPES.items():
        assert f"| {name} |" in report
        assert read_json(Path(f"data/explanations/{name}/images.json"))["layer"]
        path = Path(f"data/models/{name}/best.safetensors")
        facts = export_onnx(path, Path(f"{name}.onnx"))
        assert facts["largest_difference"] < 1e-3, recipe["architecture"]
