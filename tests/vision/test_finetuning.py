from typing import Any

import pytest
import torch
from torchvision.models import resnet18

from tests.conftest import make_image_set
from vision.finetuning import FinetuneParams, count_trainable, set_trainable
from vision.models import build_model
from vision.training import describe_model, fit

PLAIN = {
    "weights": "none",
    "epochs": 2,
    "batch_size": 6,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
}


def recipe(**changes: Any) -> FinetuneParams:
    return FinetuneParams.model_validate(PLAIN | changes)


def trained_layers(params: FinetuneParams) -> set[str]:
    """Fine-tune on a few images and name the layers of which anything has moved."""
    train = make_image_set(6, image_px=32)
    spec = describe_model("resnet18", params, train)
    model = build_model(spec)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fit(model, spec, train, train, params, 0, lambda net, epoch: set_trainable(net, params, epoch))
    after = model.state_dict()
    return {key.split(".")[0] for key in after if not torch.equal(after[key], before[key])}


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"train_from": "fc"}, {"fc"}),
        ({"train_from": "layer4"}, {"layer4", "fc"}),
        ({"head_epochs": 2}, {"fc"}),
        ({}, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}),
        (
            {"head_epochs": 1},
            {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"},
        ),
    ],
)
def test_only_what_is_not_frozen_moves(changes: dict[str, Any], layers: set[str]) -> None:
    assert trained_layers(recipe(**changes)) == layers


def test_a_frozen_batch_norm_stays_in_evaluation_mode() -> None:
    model = resnet18().train()
    set_trainable(model, recipe(train_from="layer3"), epoch=1)
    assert not model.bn1.training
    assert not model.layer2[0].bn1.training
    assert model.layer3[0].bn1.training


def test_the_weights_of_the_head_alone_are_counted() -> None:
    assert count_trainable(resnet18(num_classes=10), recipe(train_from="fc")) == 512 * 10 + 10
