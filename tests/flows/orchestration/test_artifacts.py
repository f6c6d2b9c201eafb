import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from flows.orchestration import artifacts
from flows.orchestration.artifacts import EpochProgress, inline_pictures, tabulate_results


def test_pictures_of_a_report_go_into_its_text_no_larger_than_a_page(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (1500, 900)).save(tmp_path / "figures/loss.png")
    text = "Before ![The loss (nats).](figures/loss.png) after, [a link](figures/loss.png)"
    before, data, after = re.split(
        r"data:image/webp;base64,([^)]+)", inline_pictures(text, tmp_path)
    )
    assert (before, after) == (
        "Before ![The loss (nats).](",
        ") after, [a link](figures/loss.png)",
    )
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1000, 600)


def test_results_are_in_percent() -> None:
    model = {
        "val_accuracy": 0.8124,
        "test_accuracy": 0.805,
        "test_accuracy_low": 0.797,
        "test_accuracy_high": 0.8128,
        "best_epoch": 7,
        "epochs": 10,
    }
    assert tabulate_results({"models": {"paper": model}}) == [
        {
            "model": "paper",
            "val %": "81.2",
            "test %": "80.5",
            "interval": "[79.7, 81.3]",
            "best epoch": "7 of 10",
        }
    ]


def test_progress_follows_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, str]] = []
    monkeypatch.setattr(
        artifacts,
        "create_progress_artifact",
        lambda percent, key, description: seen.append((percent, description)) or key,
    )
    monkeypatch.setattr(
        artifacts,
        "update_progress_artifact",
        lambda key, percent, description: seen.append((percent, description)),
    )
    progress = EpochProgress("train-baselines@two-layer-fc")
    for line in (
        "Running stage",
        "epoch 1/4  val loss 1.2",
        "",
        "seed 1",
        "epoch 2/4  val loss 1.1",
    ):
        progress.read(line)
    assert seen == [
        (25.0, "train-baselines@two-layer-fc, epoch 1 of 4: val loss 1.2"),
        (50.0, "train-baselines@two-layer-fc, seed 1, epoch 2 of 4: val loss 1.1"),
    ]
