"""The map of images: what is laid out, and that it keeps neighbours together."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import CLASSES, make_image_set
from vision.evaluation.embedding import compute_features, lay_out
from vision.models.batches import to_input
from vision.models.networks import ModelSpec, build_model


def make_groups(n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of three groups that lie apart, (n, width) float32, and which is whose."""
    rng, groups = np.random.default_rng(0), np.arange(n) % 3
    features = rng.normal(0, 0.3, (n, width)) + 4 * np.eye(3, width)[groups]
    return features.astype(np.float32), groups


@pytest.mark.parametrize("n", [3, 9, 12, 90])
def test_neighbours_stay_neighbours(n: int) -> None:
    features, groups = make_groups(n, 8)
    places = lay_out(features)
    assert places.shape == (n, 2)
    assert places.dtype == np.float32
    assert (places.min(0), places.max(0)) == (pytest.approx(0), pytest.approx(1))
    if n > 10:
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        assert np.array_equal(groups[distances.argmin(1)], groups)


def test_the_map_is_the_same_every_time_and_on_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, _ = make_groups(90, 8)
    first = lay_out(features)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert np.array_equal(first, lay_out(features))


@pytest.mark.parametrize("features", [np.ones((12, 4), np.float32), np.ones((5, 1), np.float32)])
def test_images_that_are_all_alike_get_places_too(features: np.ndarray) -> None:
    assert np.isfinite(lay_out(features)).all()


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("two-layer-fc", {"hidden_units": 5}),
        ("three-layer-cnn", {"filters": [4, 6]}),
        ("resnet18", {}),
        ("squeezenet1_1", {}),  # its last layer is a convolution
    ],
)
def test_features_are_what_the_last_layer_turns_into_classes(
    architecture: str, options: dict[str, int]
) -> None:
    torch.manual_seed(0)
    colours = ((0.5,) * 3, (0.25,) * 3)
    spec = ModelSpec(architecture, CLASSES, 32, 32, *colours, options=options)
    model, data = build_model(spec).eval(), make_image_set(30)
    features = compute_features(model, spec, data)
    assert features.shape[0] == len(data)
    head = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    images = torch.from_numpy(np.asarray(data.images[data.indices]))
    with torch.inference_mode():
        logits = model(to_input(images, spec))
        if head:
            assert torch.allclose(head[-1](torch.from_numpy(features)), logits, atol=1e-4)
    if not head:
        assert features.shape[1] == 512
