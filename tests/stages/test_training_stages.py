"""split, train-baselines, finetune-resnet and evaluate, called one after the other on squares."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages import evaluate, finetune_resnet, split, train_baselines
from tests.projects import ROOT
from vision.base.errors import DataError
from vision.base.files import read_array, write_array, write_json, write_rows
from vision.base.params import read_params
from vision.models.networks import load_model

PARAMS = {
    "seed": 0,
    "split": {"val_fraction": 0.25, "test_fraction": 0.2},
    "baselines": {
        "fc": {
            "architecture": "two-layer-fc",
            "hidden_units": 16,
            "epochs": 3,
            "batch_size": 8,
            "optimizer": "sgd",
            "learning_rate": 0.1,
        }
    },
    "finetune": {
        "net": {
            "architecture": "resnet18",
            "weights": "none",
            "epochs": 1,
            "batch_size": 8,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "input_px": 32,
        }
    },
    "evaluate": {"batch_size": 5, "confidence": 0.9},
}


@pytest.fixture
def project(raw: Path) -> Path:
    folder = raw.parents[1]
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    split.main()
    return folder


def read_metrics(project: Path, name: str) -> dict[str, object]:
    metrics: dict[str, object] = json.loads(
        (project / f"data/predictions/{name}/metrics.json").read_text()
    )
    return metrics


def test_the_split_counts_its_classes(project: Path) -> None:
    summary = json.loads((project / "data/split/summary.json").read_text())
    labels = read_array(project / "data/raw/labels.npy")
    for name in ("train", "val", "test"):
        counts = np.bincount(labels[read_array(project / f"data/split/{name}.npy")])
        assert summary[name]["n"] == counts.sum()
        assert [*summary[name]["per_class"].values()] == counts.tolist()
    assert [*summary["test"]["per_class"]] == ["blue", "green", "red"]
    assert "rare" not in summary


def test_a_class_of_two_images_is_said_and_written_down(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array(read_array(project / "data/raw/labels.npy"))
    labels[np.flatnonzero(labels == 2)[2:]] = 1
    write_array(project / "data/raw/labels.npy", labels)
    with pytest.raises(DataError, match=r"train, val, test: red \(2 images\)"):
        split.main()
    params = PARAMS | {"split": PARAMS["split"] | {"rare": "train"}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    split.main()
    assert capsys.readouterr().out == "in train alone: red (2 images)\n"
    summary = json.loads((project / "data/split/summary.json").read_text())
    assert summary["rare"] == {"red": "2 images"}
    assert [summary[name]["per_class"]["red"] for name in ("train", "val", "test")] == [2, 0, 0]


def test_images_of_a_group_stay_together_and_equal_files_of_two_classes_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    md5s = [f"{number:032x}" for number in range(60)]
    md5s[41], md5s[42] = md5s[0], md5s[1]
    names = [f"{row}_of_patient{row // 3}.png" for row in range(60)]
    files = [{"file": name, "md5": md5} for name, md5 in zip(names, md5s, strict=True)]
    write_rows(project / "data/raw/files.csv", files)
    grouped = PARAMS | {"split": PARAMS["split"] | {"group": r"patient(\d+)"}}
    (project / "params.yaml").write_text(yaml.safe_dump(grouped))
    split.main()
    assert capsys.readouterr().out == (
        "equal files of different classes: 0_of_patient0.png, 1_of_patient0.png, "
        "41_of_patient13.png, 42_of_patient14.png\n"
    )
    parts = [read_array(project / f"data/split/{name}.npy") for name in ("train", "val", "test")]
    where = [{int(row) // 3 for row in rows} for rows in parts]
    assert sum(map(len, where)) == 20 == len(set.union(*where))
    assert any({0, 13, 14} <= patients for patients in where)  # they share files


def test_a_baseline_is_trained_and_judged(project: Path) -> None:
    train_baselines.train("fc")
    evaluate.main("fc")
    metrics = read_metrics(project, "fc")
    logits = read_array(project / "data/predictions/fc/test_logits.npy")
    labels = read_array(project / "data/raw/labels.npy")
    test = read_array(project / "data/split/test.npy")
    assert metrics["accuracy"] == np.mean(logits.argmax(1) == labels[test])
    assert metrics["n"] == len(test)
    val = read_array(project / "data/split/val.npy")
    assert read_array(project / "data/predictions/fc/val_logits.npy").shape == (len(val), 3)


def test_predictions_are_named_for_dvc_plots(project: Path) -> None:
    train_baselines.train("fc")
    evaluate.main("fc")
    lines = (project / "data/confusions/fc.csv").read_text().splitlines()
    assert lines[0] == "actual,predicted"
    assert len(lines) == 1 + len(read_array(project / "data/split/test.npy"))
    assert {line.split(",")[0] for line in lines[1:]} == {"blue", "green", "red"}


def test_the_last_epoch_is_judged_beside_the_best(project: Path) -> None:
    train_baselines.train("fc")
    evaluate.main("fc")
    last = read_metrics(project, "fc")["last_epoch"]
    assert isinstance(last, dict)
    assert last["epoch"] == 3
    assert set(last) == {
        "epoch",
        "val_accuracy",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "loss",
    }


@pytest.mark.parametrize("knobs", [{}, {"max_pool": False}], ids=["plain", "no pooling"])
def test_a_resnet_without_pretrained_weights_is_trained_and_judged(
    project: Path, knobs: dict[str, bool]
) -> None:
    recipe = PARAMS["finetune"]["net"] | knobs
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"finetune": {"net": recipe}}))
    write_json(project / "data/pretrained/net/manifest.json", {"weights": "none"})
    finetune_resnet.train("net")
    evaluate.main("net")
    summary = json.loads((project / "data/training/net/summary.json").read_text())
    assert summary["family"] == "finetune"
    assert summary["recipe"].get("max_pool") == knobs.get("max_pool")
    assert summary["parameters"] == 11_689_512 - 513 * (1000 - 3)
    assert read_metrics(project, "net")["n"] == len(read_array(project / "data/split/test.npy"))


def test_training_never_opens_the_test_images(project: Path) -> None:
    (project / "data/split/test.npy").unlink()
    train_baselines.train("fc")
    assert (project / "data/models/fc/best.safetensors").exists()


def test_a_repeat_is_the_training_of_the_next_seed_on_the_same_split(project: Path) -> None:
    def set_params(seed: int, **knobs: int) -> None:
        recipe = PARAMS["baselines"]["fc"] | knobs
        params = PARAMS | {"seed": seed, "baselines": {"fc": recipe}}
        (project / "params.yaml").write_text(yaml.safe_dump(params))

    set_params(0, repeats=2)
    train_baselines.train("fc")
    evaluate.main("fc")
    rows = read_metrics(project, "fc")["repeats"]
    models = project / "data/models/fc"
    repeated = (models / "seed-1.safetensors").read_bytes()
    assert (project / "data/training/fc/seed-2.csv").exists()
    set_params(1)
    train_baselines.train("fc")
    evaluate.main("fc")
    assert (models / "best.safetensors").read_bytes() == repeated
    assert [path.name for path in models.glob("seed-*")] == []
    summary = json.loads((project / "data/training/fc/summary.json").read_text())
    assert isinstance(rows, list)
    assert rows[0] == {
        "seed": 1,
        "val_accuracy": summary["val_accuracy"],
        "test_accuracy": read_metrics(project, "fc")["accuracy"],
    }
    assert rows[1]["seed"] == 2


@pytest.mark.parametrize("name", ["whitened-cnn", "whitened-wide"])
def test_the_recipes_of_whitened_networks_learn_the_colours(project: Path, name: str) -> None:
    recipe = read_params(ROOT / "params.yaml")["baselines"][name]
    small = {"widths": [4, 6, 6], "batch_size": 8, "learning_rate": 5, "bias_learning_rate": 0.4}
    small |= {"crop_padding_px": 1, "cutout_px": 0}
    (project / "params.yaml").write_text(
        yaml.safe_dump(PARAMS | {"baselines": {name: recipe | small}})
    )
    train_baselines.train(name)
    evaluate.main(name)
    summary = json.loads((project / f"data/training/{name}/summary.json").read_text())
    frozen = summary["parameters"] - summary["trainable_parameters"]
    assert frozen == 24 * 12 + recipe.get("convolutions", 2) * (
        4 + 6 + 6
    )  # and batch norms' scales
    assert read_metrics(project, name)["accuracy"] == 1.0
    first, last = (
        load_model(project / f"data/models/{name}/{which}.safetensors")[0]
        for which in ("best", "last")
    )
    key = "whiten.weight"
    assert torch.equal(first.get_parameter(key), last.get_parameter(key))


def test_the_recipe_for_gpus_runs_on_a_few_small_images(project: Path) -> None:
    recipe = read_params(ROOT / "params.yaml")["finetune"]["large"]
    small = {"weights": "none", "epochs": 2, "px_by_epoch": [32, 40], "input_px": 40}
    (project / "params.yaml").write_text(
        yaml.safe_dump(PARAMS | {"finetune": {"large": recipe | small}})
    )
    write_json(project / "data/pretrained/large/manifest.json", {"weights": "none"})
    finetune_resnet.train("large")
    summary = json.loads((project / "data/training/large/summary.json").read_text())
    assert (summary["epochs"], summary["input_px"]) == (2, 40)
    assert summary["recipe"]["precision"] == "bf16"
