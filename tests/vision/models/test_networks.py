from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vision.models.networks import (
    ModelSpec,
    build_model,
    count_parameters,
    find_last_layer,
    load_backbone,
    load_model,
    save_model,
)

FC = ModelSpec(
    "two-layer-fc", ("a", "b"), 8, 8, (0.5,) * 3, (0.25,) * 3, options={"hidden_units": 5}
)
CNN = replace(FC, architecture="three-layer-cnn", options={"filters": [4, 6], "pooling": True})
WHITENED = replace(
    FC, architecture="whitened-cnn", input_px=16, options={"widths": [4, 6, 6], "convolutions": 3}
)
RESNET = replace(FC, architecture="resnet18", input_px=32, options={})


@pytest.mark.parametrize("spec", [FC, CNN, WHITENED, RESNET], ids=lambda spec: spec.architecture)
def test_a_network_maps_images_to_a_score_per_class(spec: ModelSpec) -> None:
    images = torch.zeros(3, 3, spec.input_px, spec.input_px)
    assert build_model(spec).eval()(images).shape == (3, 2)


def test_two_layer_fc_has_the_parameters_of_two_dense_layers() -> None:
    assert count_parameters(build_model(FC)) == (3 * 8 * 8 * 5 + 5) + (5 * 2 + 2)


def test_three_layer_cnn_has_a_5x5_and_a_3x3_convolution_and_a_dense_layer() -> None:
    plain = replace(CNN, options={"filters": [4, 6]})
    convolutions = (3 * 5 * 5 * 4 + 4) + (4 * 3 * 3 * 6 + 6)
    assert count_parameters(build_model(plain)) == convolutions + (6 * 8 * 8 * 2 + 2)
    assert count_parameters(build_model(CNN)) == convolutions + (6 * 2 * 2 * 2 + 2)


def test_resnet18_has_torchvisions_parameters_with_a_head_of_its_own() -> None:
    with_1000_classes = 11_689_512  # torchvision ResNet18_Weights.IMAGENET1K_V1.meta["num_params"]
    assert count_parameters(build_model(RESNET)) == with_1000_classes - 513 * (1000 - 2)


@pytest.mark.parametrize("spec", [FC, CNN, WHITENED, RESNET], ids=lambda spec: spec.architecture)
def test_a_saved_model_comes_back_with_its_spec_and_its_scores(
    spec: ModelSpec, tmp_path: Path
) -> None:
    model = build_model(spec).eval()
    save_model(tmp_path / "m.safetensors", model.state_dict(), spec)
    loaded, loaded_spec = load_model(tmp_path / "m.safetensors")
    images = torch.rand(2, 3, spec.input_px, spec.input_px)
    assert loaded_spec == spec
    assert torch.equal(loaded(images), model(images))


def test_a_fact_that_came_later_is_in_a_file_only_where_it_says_something(tmp_path: Path) -> None:
    unsure, state = replace(FC, test_views_below=0.5), build_model(FC).state_dict()
    save_model(tmp_path / "plain", state, FC)
    save_model(tmp_path / "unsure", state, unsure)
    assert load_model(tmp_path / "unsure")[1] == unsure
    contents = [(tmp_path / name).read_bytes() for name in ("plain", "unsure")]
    assert [b"test_views_below" in content for content in contents] == [False, True]


def test_a_models_bytes_do_not_depend_on_its_file_name(tmp_path: Path) -> None:
    state = build_model(FC).state_dict()
    save_model(tmp_path / "a.safetensors", state, FC)
    save_model(tmp_path / "other.safetensors", state, FC)
    assert (tmp_path / "a.safetensors").read_bytes() == (
        tmp_path / "other.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("spec", "name"), [(FC, "3"), (CNN, "8"), (WHITENED, "head"), (RESNET, "fc")]
)
def test_the_last_layer_gives_a_score_per_class(spec: ModelSpec, name: str) -> None:
    model = build_model(spec)
    assert find_last_layer(model, spec) == name
    assert model.get_parameter(f"{name}.weight").shape[0] == 2


def test_a_resnet_without_the_pooling_has_the_same_weights_and_wider_maps() -> None:
    wide = replace(RESNET, options={"max_pool": False})
    model, plain = build_model(wide), build_model(RESNET)
    images = torch.rand(2, 3, 32, 32)
    model.load_state_dict(plain.state_dict())
    sides = []
    for network in (model, plain):
        block = network.get_submodule("layer4")
        block.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
        network.eval()(images)
    assert sides == [2, 1]


def test_loading_a_model_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", build_model(FC).state_dict(), FC)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.rand(1), expected)


def test_a_backbone_brings_all_layers_but_the_last() -> None:
    source, model = build_model(RESNET), build_model(RESNET)
    head = model.get_parameter("fc.weight").clone()
    load_backbone(model, RESNET, source.state_dict())
    assert torch.equal(model.get_parameter("conv1.weight"), source.get_parameter("conv1.weight"))
    assert torch.equal(model.get_parameter("fc.weight"), head)


def test_a_backbone_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="not the weights of resnet18"):
        load_backbone(build_model(RESNET), RESNET, {"conv1.weight": torch.zeros(64, 3, 7, 7)})
