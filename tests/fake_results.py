"""A small data/ tree, as the stages before `plot` leave it, for the tests of the report."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vision.base.files import write_array, write_json, write_rows, write_text
from vision.data.sharding import write_images
from vision.evaluation.corruptions import find_degrees
from vision.evaluation.metrics import measure
from vision.schema.evaluate import EvaluateParams

CLASSES = ("cat", "dog", "ship")
MODELS = {  # name -> test accuracy that it is given, roughly
    "two-layer-fc": 0.5,
    "three-layer-cnn": 0.7,
    "paper": 0.85,
}
JUDGING = EvaluateParams(batch_size=8, confidence=0.95)
STAND_IN = {
    "official": False,
    "name": "resnet18-imagenet-partial.safetensors",
    "sha256": "4e34" * 16,
    "verified": None,
    "weights": "imagenet",
    "note": "The last block starts as the identity.",
}


def write_tree(
    root: Path,
    classes: tuple[str, ...] = CLASSES,
    models: dict[str, float] | None = None,
    n_test: int = 60,
    epochs: int = 4,
    n_val: int | None = None,
    **manifest: Any,
) -> None:
    """Write params.yaml, dvc.yaml and data/ for `plot`; `manifest` overrides that of the images.

    There are as many val images as test images, unless `n_val` says otherwise.
    """
    n_val = n_val or n_test
    models = MODELS if models is None else models
    baselines = [name for name in models if name in ("two-layer-fc", "three-layer-cnn")]
    finetune = [name for name in models if name not in baselines]
    params = {
        "models": {"baselines": baselines, "finetune": finetune, "evaluate": list(models)},
        "plot": {"dpi": 60, "most_confused": 3},
    }
    write_text(root / "params.yaml", yaml.safe_dump(params))
    dvc = {"stages": {"plot": {"cmd": "", "deps": ["data"], "params": ["models", "plot"]}}}
    write_text(root / "dvc.yaml", yaml.safe_dump(dvc))
    _write_images(root, classes, n_val, n_test, manifest)
    for name, accuracy in models.items():
        write_training(root, name, make_history(epochs, accuracy), name in baselines)
        metrics = make_metrics(classes, n_test, accuracy)
        predictions = root / "data/predictions" / name
        write_json(predictions / "metrics.json", metrics)
        for subset, n in (("val", n_val), ("test", n_test)):
            logits, _ = make_logits(classes, n, accuracy)
            write_array(predictions / f"{subset}_logits.npy", logits)
        write_examination(root, name, accuracy, min(n_test, 1000))
    pair = {"test": 0, "train": 0, "correlation": 0.99, "is_exact": False}
    pair |= {"test_row": n_val, "train_row": 0}
    found = {"n_test": n_test, "n_train": 8 * n_test, "pairs": [pair], "min_correlation": 0.85}
    found |= {"is_too_alike": False, "threshold": 0.9, "test_share": 0.02, "train_share": 0.03}
    write_json(root / "data/duplicates.json", found)


def _write_images(
    root: Path, classes: tuple[str, ...], n_val: int, n_test: int, manifest: dict[str, Any]
) -> None:
    counts = {"train": 8 * n_test, "val": n_val, "test": n_test}
    n = n_val + n_test
    facts = {
        "source": "cifar10",
        "official": True,
        "name": "cifar-10-python.tar.gz",
        "sha256": "6d95" * 16,
        "verified": "md5 of the official page",
        "image_px": 32,
        "n_images": 10 * n_test,
        "n_classes": len(classes),
        "counts": counts,
        "note": "From the official address.",
    }
    write_json(root / "data/raw/manifest.json", facts | manifest)
    write_json(root / "data/raw/classes.json", list(classes))
    split = {
        subset: {"n": n, "per_class": {name: n // len(classes) for name in classes}}
        for subset, n in counts.items()
    }
    write_json(root / "data/split/summary.json", split)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    write_images(root / "data/raw/images", pixels)
    labels = np.concatenate([np.arange(n_val), np.arange(n_test)]) % len(classes)
    write_array(root / "data/raw/labels.npy", labels)
    files = [
        {"file": f"photos/{row}.png", "width": 64, "height": 64 + 36 * odd, "camera": "ab"[odd]}
        for row, odd in enumerate(np.arange(n) % 2)
    ]
    write_rows(root / "data/raw/files.csv", files)
    for subset, rows in (("val", np.arange(n_val)), ("test", np.arange(n_val, n))):
        write_array(root / f"data/split/{subset}.npy", rows)


def make_history(epochs: int, accuracy: float) -> list[dict[str, float]]:
    """Return epochs in which training pulls ahead and validation loss turns up half-way."""
    rows = []
    for epoch in range(1, epochs + 1):
        done = epoch / epochs
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 2.3 * (1 - done) ** 2 + 0.1,
                "train_accuracy": min(1.0, accuracy * (0.6 + 0.55 * done)),
                "val_loss": 1.2 - 1.2 * accuracy * done + 0.8 * done**3,
                "val_accuracy": accuracy * (0.7 + 0.5 * done - 0.2 * done**3),
            }
        )
    return rows


def write_training(
    root: Path, name: str, history: list[dict[str, float]], baseline: bool, **facts: Any
) -> None:
    best = max(history, key=lambda row: row["val_accuracy"])
    figures = {key: value for key, value in best.items() if key != "epoch"}
    summary = {
        **figures,
        "family": "baselines" if baseline else "finetune",
        "architecture": name if baseline else "resnet18",
        "parameters": 11_181_642,
        "trainable_parameters": 11_181_642,
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "last": {key: value for key, value in history[-1].items() if key != "epoch"},
        "input_px": 32,
        "seed": 0,
        "recipe": {"epochs": len(history), "optimizer": "sgd" if baseline else "adam"},
        "pretrained": None if baseline else STAND_IN | {"official": True, "verified": "sha256"},
    }
    timing = {"train_seconds": 81.5, "images_per_second": 5500.0}
    timing |= {"device": "2 CPU cores (EPYC)", "threads": 2, "torch": "2.14.1"}
    folder = root / "data/training" / name
    write_rows(folder / "history.csv", history)
    write_json(folder / "summary.json", summary | facts)
    write_json(root / "data/timings" / f"{name}.json", timing)


def write_examination(root: Path, name: str, accuracy: float, n_mapped: int) -> None:
    """Write what the stages that look closer at a model leave; the first test images are mapped."""
    cost = {"device": "2 CPU cores (EPYC)", "threads": 2, "torch": "2.14.1", "bytes": 44_776_248}
    cost |= {"flops_per_image": 74_000_000, "parameters": 11_181_642, "latency_ms": 7.5}
    cost |= {"images_per_second": 410.0, "batch_sizes": [1, 128], "photo_ms": 11.5}
    for key in ("latency_ms", "images_per_second", "photo_ms"):
        cost |= {
            f"{key}_best": cost[key] * 0.9,
            f"{key}_quartiles": [cost[key] * 0.95, cost[key] * 1.1],
        }
    cost |= {"cores": 2, "cores_busy_elsewhere": 0.0, "was_loaded": False}
    write_json(root / f"data/costs/{name}.json", cost)
    falling = [accuracy * (1 - severity / 10) for severity in range(1, 6)]
    corrupted = {
        "n": 30,
        "clean": accuracy,
        "accuracies": {"noise": falling, "blur": falling[::-1]},
    }
    corrupted["degrees"] = {kind: find_degrees(kind, 32) for kind in ("noise", "blur")}
    write_json(root / f"data/robustness/{name}.json", corrupted)
    has_places = name != "two-layer-fc"
    layer = "layer2" if has_places else None
    folder = root / "data/explanations" / name
    facts = {"layer": layer, "right": [0, 1], "wrong": [2], "mapped": list(range(n_mapped))}
    write_json(folder / "images.json", facts)
    rng = np.random.default_rng(0)
    write_array(folder / "maps.npy", rng.random((3 * has_places, 4, 4), np.float32))
    write_array(folder / "places.npy", rng.random((n_mapped, 2), np.float32))


def make_logits(classes: tuple[str, ...], n: int, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, classes) float32 logits that are right about as often as asked, and labels."""
    rng = np.random.default_rng(int(1000 * accuracy))
    labels = np.arange(n) % len(classes)
    odds = np.where(rng.random(n) < accuracy, 0, 1)
    shift = odds * np.minimum(1 + rng.geometric(0.5, n) - 1, len(classes) - 1)
    logits = rng.standard_normal((n, len(classes)), np.float32)
    logits[np.arange(n), (labels + shift) % len(classes)] += 8
    return logits, labels


@cache
def make_metrics(classes: tuple[str, ...], n: int, accuracy: float) -> dict[str, Any]:
    logits, labels = make_logits(classes, n, accuracy)
    metrics = measure(logits, labels, classes, JUDGING)
    keys = ("accuracy", "accuracy_low", "accuracy_high", "loss")
    judged = {"val_accuracy": metrics["accuracy"]}
    last = {key: metrics[key] for key in keys} | {"epoch": 4}
    return metrics | judged | {"last_epoch": last | judged}
