"""What looks closer at data and models: twins, subsets, attention, cost."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.conftest import CLASSES, make_image_set
from vision.data.dataset import ImageSet
from vision.data.subsets import take_evenly
from vision.evaluation import duplicates
from vision.evaluation.attention import explain, find_layer, occlude
from vision.evaluation.cost import count_flops, measure_cost
from vision.evaluation.duplicates import Duplicate, Likeness, find_duplicates
from vision.models.inference import Classifier
from vision.models.networks import ModelSpec, build_model, save_model
from vision.schema.duplicates import DuplicatesParams

CNN = ModelSpec(
    "three-layer-cnn", CLASSES, 16, 16, (0.5,) * 3, (0.25,) * 3, options={"filters": [4, 6]}
)


def make_scenes(count: int, seed: int) -> np.ndarray:
    """Return smooth random images: (n, 32, 32, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((32, 32))) for c in coarse])


def find(train: np.ndarray, test: np.ndarray, classes: int = 1) -> tuple[list[Duplicate], Likeness]:
    images, n = np.concatenate([train, test]), len(train)
    labels = (np.arange(len(images)) % n % classes).astype(np.int64)
    rows = (np.arange(n), np.arange(n, len(images)))
    sets = [ImageSet(images, labels, each, CLASSES) for each in rows]
    return find_duplicates(*sets, DuplicatesParams(deviations=5, min_correlation=0.85))


def test_copies_and_near_duplicates_are_found_and_others_are_not() -> None:
    train, test = make_scenes(80, 0), make_scenes(60, 1)
    test[3] = train[11]
    test[7] = np.clip(train[2] * 0.9 + 3, 0, 255)
    found, likeness = find(train, test)
    assert [(twin.test, twin.train, twin.is_exact) for twin in found] == [
        (3, 11, True),
        (7, 2, False),
    ]
    assert found[0].correlation == 1
    assert found[1].correlation > 0.99
    assert likeness.threshold is not None
    assert likeness.test_share == pytest.approx(2 / 60)


def test_images_of_another_class_are_copies_but_no_near_duplicates() -> None:
    train, test = make_scenes(80, 0), make_scenes(60, 1)
    test[3], test[7] = train[10], train[2] // 2
    found, _ = find(
        train, test, classes=2
    )  # 3 and 7 are of the second class, 10 and 2 of the first
    assert [(twin.test, twin.train) for twin in found] == [(3, 10)]


def test_images_without_detail_are_no_near_duplicates() -> None:
    """Skies over the sea: the same light above the same dark, and noise of a camera."""
    rng = np.random.default_rng(0)
    skies = np.linspace(200, 60, 32)[None, :, None, None] + rng.normal(0, 3, (140, 32, 32, 3))
    images = np.concatenate([make_scenes(80, 0), skies.clip(0, 255).astype(np.uint8)])
    found, likeness = find(images[:120], images[120:])
    assert found == []
    assert likeness.test_share == 0


def test_images_that_are_all_alike_are_not_called_near_duplicates() -> None:
    scene, rng = make_scenes(1, 0).astype(int), np.random.default_rng(0)
    images = (scene + rng.integers(-20, 20, (200, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    images[150] = images[20]
    found, likeness = find(images[:140], images[140:])
    assert [(twin.test, twin.train, twin.is_exact) for twin in found] == [(10, 20, True)]
    assert likeness.is_too_alike
    assert likeness.threshold is None
    assert likeness.test_share == likeness.train_share == 1


def test_of_a_few_training_images_only_copies_are_told() -> None:
    train, test = make_scenes(5, 0), make_scenes(60, 1)
    test[1], test[2] = train[4], train[3] // 2
    found, likeness = find(train, test)
    assert [(twin.test, twin.train) for twin in found] == [(1, 4)]
    assert (likeness.threshold, likeness.train_share) == (None, None)


def test_pieces_of_the_training_images_give_what_all_at_once_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = make_scenes(80, 0), make_scenes(30, 1)
    test[3], test[7] = train[11], train[70] // 2
    found, likeness = find(train, test, classes=1)
    monkeypatch.setattr(duplicates, "AT_ONCE", 7)
    again, likeness_again = find(train, test, classes=1)
    assert [(twin.test, twin.train) for twin in found] == [(3, 11), (7, 70)]
    for one, other in zip(again, found, strict=True):  # products of other sizes round otherwise
        assert one == replace(other, correlation=pytest.approx(other.correlation, abs=1e-6))
    assert asdict(likeness_again) == pytest.approx(asdict(likeness), abs=1e-6)


def test_a_subset_is_even_in_order_and_always_the_same() -> None:
    data = make_image_set(30)
    part = take_evenly(data, 30, seed=0)
    assert np.bincount(part.get_labels()).tolist() == [10, 10, 10]
    assert (np.diff(part.indices) > 0).all()
    assert np.array_equal(part.indices, take_evenly(data, 30, seed=0).indices)
    assert not np.array_equal(part.indices, take_evenly(data, 30, seed=1).indices)
    assert take_evenly(data, 90, seed=0) is data


def test_a_class_of_few_images_is_not_left_out() -> None:
    data = make_image_set(30)
    few = replace(data, indices=np.arange(31))  # one image of the second class
    assert set(take_evenly(few, 5, seed=0).get_labels()) == {0, 1}


def test_attention_is_where_the_evidence_is() -> None:
    """A network that sees red alone looks at the red corner."""
    model = build_model(CNN)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        first, last, head = (model.get_submodule(name) for name in ("0", "2", "6"))
        first.weight[0, 0, 2, 2] = last.weight[0, 0, 1, 1] = 1  # passes red on
        head.weight[1, : 16 * 16] = 1  # and adds it up for the second class
    image = np.zeros((1, 16, 16, 3), np.uint8)
    image[0, :4, 12:, 0] = 255
    found = find_layer(model, CNN)
    assert found
    heat = explain(model, CNN, image, np.array([1]), found)[0]
    assert heat.max() == pytest.approx(1)
    assert heat[:4, 12:].min() > 0.9
    assert heat[6:, :10].max() < 0.1


@pytest.mark.parametrize(("px", "layer"), [(32, "layer2"), (64, "layer3"), (224, "layer4")])
def test_the_last_layer_that_keeps_places_apart_is_looked_at(px: int, layer: str) -> None:
    spec = ModelSpec("resnet18", CLASSES, 32, px, (0.5,) * 3, (0.25,) * 3)
    model = build_model(spec)
    found = find_layer(model, spec)
    assert found
    assert found.name == layer
    image = np.zeros((1, 32, 32, 3), np.uint8)
    assert min(explain(model, spec, image, np.array([0]), found).shape[1:]) >= 4


@pytest.mark.parametrize(
    ("name", "layer"), [("squeezenet1_1", "features"), ("vit_b_32", "occlusion")]
)
def test_any_network_is_looked_into(name: str, layer: str) -> None:
    spec = ModelSpec(name, CLASSES, 32, 96, (0.5,) * 3, (0.25,) * 3)
    model = build_model(spec)
    target = find_layer(model, spec)
    assert target
    assert target.name == layer
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    heat = explain(model, spec, image, np.array([0]), target)
    assert min(heat.shape[1:]) >= 4
    assert heat.max() == pytest.approx(1) or heat.max() == 0


def test_a_whitened_network_is_looked_into_where_its_map_is_large_enough() -> None:
    """31, 15 and 7 pixels wide; then 3."""
    spec = replace(CNN, architecture="whitened-cnn", input_px=32, options={"widths": [4, 6, 6]})
    model = build_model(spec)
    target = find_layer(model, spec)
    assert target
    assert target.name == "blocks.2.enter.0"
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    assert explain(model, spec, image, np.array([0]), target).shape == (1, 7, 7)


def test_a_covered_place_that_counts_is_found() -> None:
    """A network that adds up the red of the upper left corner misses just that."""
    head = nn.Linear(3 * 16 * 16, 2)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[1].view(3, 16, 16)[0, :4, :4] = 1
    x = torch.ones(1, 3, 16, 16)
    fall = occlude(nn.Sequential(nn.Flatten(), head), x, torch.tensor([1]))[0]
    assert fall.shape == (8, 8)
    assert fall[:2, :2].flatten().tolist() == pytest.approx([4] * 4)
    assert float(fall.sum()) == pytest.approx(16)


def test_a_net_without_places_looks_nowhere() -> None:
    spec = replace(CNN, architecture="two-layer-fc", options={"hidden_units": 4})
    assert find_layer(build_model(spec), spec) is None


def test_arithmetic_is_that_counted_by_hand() -> None:
    spec = replace(CNN, architecture="two-layer-fc", options={"hidden_units": 10})
    classify = Classifier(build_model(spec), spec).eval()
    by_hand = 2 * (3 * 16 * 16 * 10 + 10 * 3)
    assert count_flops(classify) == by_hand
    both_views = Classifier(classify.network, replace(spec, test_flip=True)).eval()
    assert count_flops(both_views) == 2 * by_hand


def test_resnet18_takes_the_published_arithmetic() -> None:
    """1.81 billion multiplications at 224 px: torchvision's table of models."""
    spec = ModelSpec("resnet18", tuple(map(str, range(1000))), 8, 224, (0.5,) * 3, (0.25,) * 3)
    assert count_flops(Classifier(build_model(spec), spec).eval()) == pytest.approx(
        2 * 1.81e9, rel=0.01
    )


def test_a_cost_has_positive_times_and_the_size_of_the_file(tmp_path: Path) -> None:
    model = build_model(CNN)
    save_model(tmp_path / "m.safetensors", model.state_dict(), CNN)
    cost = measure_cost(tmp_path / "m.safetensors", Classifier(model, CNN).eval())
    assert cost["bytes"] == (tmp_path / "m.safetensors").stat().st_size
    assert cost["latency_ms"] > 0
    assert cost["images_per_second"] > 0
