"""robustness, explain and find-duplicates, called on squares after a training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stages import evaluate, explain, find_duplicates, robustness, split, train_baselines
from tests.stages.test_training_stages import PARAMS
from vision.base.files import read_array, read_json
from vision.data.sharding import write_images
from vision.data.shards import open_images
from vision.evaluation.corruptions import CORRUPTIONS

FC: dict[str, Any] = PARAMS["baselines"]["fc"]  # type: ignore[index]
CNN = {key: value for key, value in FC.items() if key != "hidden_units"}
CNN |= {"architecture": "three-layer-cnn", "first_filters": 4, "second_filters": 4}
MORE = {
    "baselines": {"fc": FC, "cnn": CNN},
    "robustness": {"images": 6, "batch_size": 4},
    "explain": {"images": 2},
    "duplicates": {"deviations": 5, "min_correlation": 0.9},
}


@pytest.fixture
def judged(raw: Path) -> Path:
    folder = raw.parents[1]
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | MORE))
    split.main()
    for name in ("fc", "cnn"):
        train_baselines.train(name)
        evaluate.main(name)
    return folder


@pytest.mark.usefixtures("judged")
def test_each_kind_and_degree_has_an_accuracy_on_as_many_images_as_asked() -> None:
    robustness.main("fc")
    found = read_json(Path("data/robustness/fc.json"))
    assert found["n"] == 6
    assert set(found["accuracies"]) == set(CORRUPTIONS)
    for values in found["accuracies"].values():
        assert len(values) == 5
        assert all(0 <= value <= 1 for value in values)


@pytest.mark.usefixtures("judged")
def test_robustness_gives_equal_bytes() -> None:
    robustness.main("fc")
    first = Path("data/robustness/fc.json").read_bytes()
    robustness.main("fc")
    assert Path("data/robustness/fc.json").read_bytes() == first


@pytest.mark.usefixtures("judged")
def test_maps_belong_to_right_and_wrong_predictions() -> None:
    explain.main("cnn")
    facts = read_json(Path("data/explanations/cnn/images.json"))
    maps = read_array(Path("data/explanations/cnn/maps.npy"))
    logits = read_array(Path("data/predictions/cnn/test_logits.npy"))
    labels = read_array(Path("data/raw/labels.npy"))[read_array(Path("data/split/test.npy"))]
    assert len(maps) == len(facts["right"]) + len(facts["wrong"])
    assert all(logits[i].argmax() == labels[i] for i in facts["right"])
    assert all(logits[i].argmax() != labels[i] for i in facts["wrong"])
    shown = {int(labels[i]) for i in facts["right"]}
    assert len(shown) == len(facts["right"])
    assert shown == {int(label) for label in labels[logits.argmax(1) == labels]}
    assert maps.min() >= 0
    assert np.all(maps.max((1, 2)) <= 1)


@pytest.mark.usefixtures("judged")
def test_a_net_without_places_has_no_maps() -> None:
    explain.main("fc")
    assert read_json(Path("data/explanations/fc/images.json"))["layer"] is None
    assert len(read_array(Path("data/explanations/fc/maps.npy"))) == 0


def test_a_copied_test_image_is_found(judged: Path) -> None:
    folder = judged / "data/raw/images"
    images = open_images(folder)[:]
    train, test = (np.load(judged / f"data/split/{name}.npy") for name in ("train", "test"))
    images[test[0]] = images[train[5]]
    write_images(folder, images)
    find_duplicates.main()
    found = json.loads((judged / "data/duplicates.json").read_text())
    assert found["n_test"] == len(test)
    pairs = {(pair["test"], pair["train"]) for pair in found["pairs"] if pair["is_exact"]}
    assert pairs == {(0, 5)}


@pytest.mark.usefixtures("judged")
def test_a_cost_is_written_for_the_report() -> None:
    cost = read_json(Path("data/costs/fc.json"))
    assert cost["flops_per_image"] == 2 * (3 * 8 * 8 * 16 + 16 * 3)
