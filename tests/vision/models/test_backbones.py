"""Any classifier of torchvision: built, frozen in parts, trained for a step, stored, loaded."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torchvision.models import get_model

from vision.base.errors import ParamsError
from vision.models.backbones import (
    build_backbone,
    check_name,
    check_size,
    find_head,
    find_preparation,
    fit_positions,
    list_backbones,
    list_parts,
    outline_backbone,
    rename_keys,
)
from vision.models.networks import ModelSpec, build_model, load_model, save_model
from vision.models.weights import find_official

NAMES = list_backbones()
# The smallest of each kind, and the smallest images that it takes.
SMALLEST = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "googlenet": 32,
    "inception_v3": 75,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v3_small": 32,
    "regnet_y_400mf": 32,
    "resnet18": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 32,
    "swin_v2_t": 32,
    "vgg11": 32,
    "vit_b_32": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_classifier_has_a_head_parts_and_official_weights(name: str) -> None:
    px = find_preparation(name).px
    model, head = outline_backbone(name, 7, px), find_head(name)
    assert model.get_submodule(head).get_parameter("weight").shape[0] == 7
    parts = list_parts(model)
    assert len(parts) > 4
    assert head == parts[-1] or head.startswith(f"{parts[-1]}.")
    assert len(find_official(name).digests["sha256"]) >= 8
    assert model.eval()(torch.empty(2, 3, px, px, device="meta")).shape == (2, 7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "px"), SMALLEST.items())
def test_one_of_each_kind_takes_a_step_and_comes_back(name: str, px: int, tmp_path: Path) -> None:
    spec = ModelSpec(name, ("a", "b", "c"), px, px, (0.5,) * 3, (0.25,) * 3)
    torch.manual_seed(0)
    model, images = build_model(spec), torch.rand(4, 3, px, px)
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    functional.cross_entropy(model.train()(images), torch.tensor([0, 2, 1, 0])).backward()
    optimizer.step()
    assert any(not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    save_model(tmp_path / "m.safetensors", model.state_dict(), spec)
    loaded, found = load_model(tmp_path / "m.safetensors")
    assert found == spec
    state = model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    with torch.inference_mode():
        assert torch.allclose(loaded(images), model.eval()(images), rtol=1e-3, atol=1e-3)


def test_a_network_that_is_not_there_is_an_error_that_names_its_neighbours() -> None:
    with pytest.raises(ParamsError, match=r"'efficientnet': .* efficientnet_b"):
        check_name("efficientnet", "finetune.mine.architecture")


@pytest.mark.parametrize(("name", "px"), [("vit_h_14", 32), ("inception_v3", 32), ("maxvit_t", 64)])
def test_images_of_a_wrong_size_are_an_error_that_names_a_right_one(name: str, px: int) -> None:
    good = find_preparation(name).px
    with pytest.raises(
        ParamsError, match=rf"{name} cannot take images of {px} .*input_px to {good}"
    ):
        check_size(name, px, "finetune.mine")
    check_size(name, good, "finetune.mine")


def test_positions_of_a_transformer_are_stretched_to_other_images() -> None:
    theirs = build_backbone("vit_b_32", 3, 96)
    own = build_backbone("vit_b_32", 3, 64)
    fitted = fit_positions("vit_b_32", theirs.state_dict(), own, 64)
    assert fitted["encoder.pos_embedding"].shape == (1, 5, 768)
    own.load_state_dict(fitted)


def test_losses_in_the_middle_and_old_names_are_left_behind() -> None:
    with torch.device("meta"):
        whole = get_model("googlenet", num_classes=1000, aux_logits=True, init_weights=False)
    expected = outline_backbone("googlenet", 1000, 224).state_dict()
    assert rename_keys("googlenet", whole.state_dict()).keys() == expected.keys()
    old = {"features.denseblock1.denselayer2.norm.1.weight": torch.zeros(1)}
    assert [*rename_keys("densenet121", old)] == ["features.denseblock1.denselayer2.norm1.weight"]
