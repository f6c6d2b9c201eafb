import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18

from tests.conftest import make_image_set
from vision.base.errors import ParamsError, TrainingError
from vision.base.sections import check_section
from vision.models.backbones import outline_backbone
from vision.models.networks import build_model
from vision.schema.finetune import FinetuneParams
from vision.training.features import make_room
from vision.training.finetuning import BackbonePlan, check_recipe, count_trainable
from vision.training.loop import fit
from vision.training.recipes import describe_model

CPU = torch.device("cpu")
PLAIN = {
    "architecture": "resnet18",
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
    fit(model, spec, train, train, params, 0, BackbonePlan(params))
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
    BackbonePlan(recipe(train_from="layer3")).set_mode(model, epoch=1)
    assert not model.bn1.training
    assert not model.layer2[0].bn1.training
    assert model.layer3[0].bn1.training


def test_the_weights_of_the_head_alone_are_counted() -> None:
    assert count_trainable(resnet18(num_classes=10), recipe(train_from="fc")) == 512 * 10 + 10


@pytest.mark.parametrize("first", ["layer2", "layer4", "fc"])
@pytest.mark.parametrize("flip", [False, True])
def test_cached_features_train_as_the_images_would(first: str, flip: bool) -> None:
    train = make_image_set(6, image_px=32)
    results = []
    for cached in (False, True):
        how = {"train_from": first, "flip": flip, "cache_features": cached}
        params = recipe(optimizer="sgd", **how)  # Adam would make much of a difference in rounding
        spec = describe_model("resnet18", params, train)
        torch.manual_seed(0)
        results.append(fit(build_model(spec), spec, train, train, params, 0, BackbonePlan(params)))
    plain, cached_one = results
    for key, value in plain.last_state.items():
        assert torch.allclose(value, cached_one.last_state[key], atol=1e-5), key
    assert cached_one.best.val_loss == pytest.approx(plain.best.val_loss, rel=1e-4)


def test_features_are_computed_anew_when_fewer_layers_are_frozen() -> None:
    params = recipe(train_from="layer4", head_epochs=1, cache_features=True)
    plan, model = BackbonePlan(params), resnet18()
    cuts = [plan.split(model, epoch) for epoch in (1, 2)]
    assert [len(frozen) for frozen, _ in filter(None, cuts)] == [10, 7]


def test_features_in_memory_train_as_those_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    params = recipe(train_from="layer4", flip=True, cache_features=True, precision="bf16")
    train = make_image_set(6, image_px=32)
    spec, fits = describe_model("resnet18", params, train), []
    for fitting in (False, True):
        monkeypatch.setattr("vision.training.features.has_room", lambda *_, says=fitting: says)
        torch.manual_seed(0)
        fits.append(fit(build_model(spec), spec, train, train, params, 0, BackbonePlan(params)))
    assert fits[0].history == fits[1].history


def test_a_full_disk_for_features_says_what_to_do(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr(tempfile, "tempdir", None)  # to be looked for anew
    assert make_room((4, 5), torch.float16, CPU).shape == (4, 5)
    with pytest.raises(TrainingError, match=rf"^{small_disk} has no room for the 0.1 GB of cache_"):
        make_room((50, 10**6), torch.float16, CPU)


def test_a_folder_for_features_that_is_gone_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert make_room((4, 5), torch.float16, CPU).shape == (4, 5)


def test_the_body_learns_at_its_own_rate() -> None:
    model = resnet18(num_classes=10)
    body, head = BackbonePlan(recipe(body_learning_rate=1e-5)).group(model)
    assert (body["lr"], "lr" in head) == (1e-5, False)
    assert sum(weight.numel() for weight in head["params"]) == 5130
    assert len(body["params"]) + len(head["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache_features": True}, "cache_features needs frozen layers"),
        (
            {"cache_features": True, "train_from": "fc", "crop_padding_px": 2},
            "leaves no room for crop_padding_px",
        ),
    ],
)
def test_a_cache_that_could_not_be_right_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_section("r", PLAIN | changes, FinetuneParams)


def test_rates_fall_with_the_depth_of_a_layer() -> None:
    model = outline_backbone("convnext_tiny", 2, 32)
    params = recipe(architecture="convnext_tiny", layer_decay=0.5, learning_rate=0.1)
    groups = BackbonePlan(params).group(model)
    rates = [group.get("lr", 0.1) for group in groups]
    assert rates == pytest.approx([0.1 * 0.5**depth for depth in range(8, -1, -1)] + [0.1])
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    first, last = groups[0]["params"], groups[-1]["params"]
    assert first[0] is model.get_parameter("features.0.0.weight")
    assert last[0] is model.get_parameter("classifier.2.weight")


def test_any_network_is_frozen_up_to_a_part() -> None:
    model = outline_backbone("vit_b_32", 2, 64)
    params = recipe(architecture="vit_b_32", train_from="encoder.layers.encoder_layer_11")
    BackbonePlan(params).set_mode(model, epoch=1)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.rpartition("encoder_layer_11")[1] for name in trained if "layers" in name} == {
        "encoder_layer_11"
    }
    assert {"heads.head.weight", "encoder.ln.weight"} < trained
    assert not trained & {"class_token", "encoder.pos_embedding", "conv_proj.weight"}
    assert model.get_submodule("encoder.layers.encoder_layer_11.dropout").training
    assert not model.get_submodule("encoder.layers.encoder_layer_10.dropout").training
    BackbonePlan(recipe(architecture="vit_b_32")).set_mode(model, epoch=1)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet81"}, r"r\.architecture is 'resnet81': .* resnet18"),
        (
            {"architecture": "vgg11", "train_from": "layer4"},
            r"vgg11 lacks: choose from features\.0",
        ),
        ({"architecture": "vit_b_16", "input_px": 33}, r"cannot take images of 33 pixels"),
        (
            {"architecture": "vgg11", "train_from": "features.3", "cache_features": True},
            "cache_features is for ResNets",
        ),
        ({"architecture": "vgg11", "max_pool": False}, "max_pool is for ResNets"),
        (
            {"architecture": "vgg11", "optimizer": "muon", "muon_learning_rate": 0.1},
            "vgg11 has no batch norms to make up for it",
        ),
    ],
)
def test_what_does_not_fit_a_network_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_recipe(recipe(**changes), 32, "r")
