"""Classifiers of timm: named, built, stored, loaded, with weights from a mirror."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from tests.skips import skip_without
from tests.stages.whole import run_all, write_params
from tests.test_tutorials import draw, write_zip
from vision.base.errors import ChecksumError, ParamsError, SourceError
from vision.evaluation.attention import OCCLUSION, find_layer
from vision.models.backbones import (
    build_backbone,
    check_name,
    check_size,
    find_head,
    find_preparation,
    fit_positions,
    list_parts,
)
from vision.models.networks import ModelSpec, build_model, load_model, save_model
from vision.models.timm_networks import INSTALL, find_address
from vision.models.weights import find_official, open_weights
from vision.schema.finetune import FinetuneParams
from vision.serving.export import export_onnx
from vision.training.finetuning import check_recipe

KEY = "finetune.mine.architecture"
RECIPE = {"weights": "none", "optimizer": "adam", "epochs": 1, "batch_size": 8}
RECIPE |= {"learning_rate": 0.1}
NETWORKS = {"timm/test_resnet": 32, "timm/test_vit": 64, "timm/test_convnext": 32}


def test_without_timm_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    recipe = FinetuneParams.model_validate(RECIPE | {"architecture": "timm/resnet18"})
    with pytest.raises(ParamsError) as caught:
        check_recipe(recipe, 32, "finetune.mine")
    assert str(caught.value) == (
        "timm/resnet18 needs the package timm, which is not installed: pip install 'timm>=1,<2', "
        "or choose a classifier of torchvision"
    )


@pytest.fixture
def timm() -> Any:
    if not find_spec("timm"):
        skip_without("timm", INSTALL)
    return pytest.importorskip("timm")


@pytest.mark.usefixtures("timm")
def test_a_network_that_timm_lacks_is_an_error_that_names_its_neighbours() -> None:
    with pytest.raises(ParamsError, match=r"'timm/convnext_atom': timm .* timm/convnext_atto"):
        check_name("timm/convnext_atom", KEY)
    check_name("timm/resnet18.a1_in1k", KEY)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", ["timm/levit_128s", "timm/mobilenetv5_300m_enc"])
def test_networks_with_two_last_layers_or_none_are_refused(name: str) -> None:
    with pytest.raises(ParamsError, match=f"{name}', which has no single last layer"):
        check_name(name, KEY)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(("name", "px"), NETWORKS.items())
def test_a_network_of_timm_takes_a_step_and_comes_back(name: str, px: int, tmp_path: Path) -> None:
    check_recipe(FinetuneParams.model_validate(RECIPE | {"architecture": name}), px, "finetune.m")
    spec = ModelSpec(name, ("a", "b", "c"), px, px, (0.5,) * 3, (0.25,) * 3)
    torch.manual_seed(0)
    model, images = build_model(spec), torch.rand(4, 3, px, px)
    functional.cross_entropy(model.train()(images), torch.tensor([0, 2, 1, 0])).backward()
    torch.optim.SGD(model.parameters(), 0.01).step()
    save_model(tmp_path / "m.safetensors", model.state_dict(), spec)
    loaded, found = load_model(tmp_path / "m.safetensors")
    assert found == spec
    with torch.inference_mode():
        assert torch.allclose(loaded(images), model.eval()(images), atol=1e-5)
    assert find_head(name).startswith(list_parts(model)[-1])
    target = find_layer(loaded, spec)
    assert target is not None
    assert (target.name == OCCLUSION) == (name == "timm/test_vit")


@pytest.mark.usefixtures("timm")
def test_weights_are_where_timm_says_with_the_digits_that_it_gives() -> None:
    url, called, digests = find_address("timm/resnet18.a1_in1k")
    assert (called, digests) == ("resnet18_a1_0-d63eafa0.pth", {"sha256": "d63eafa0"})
    assert url.endswith(f"/{called}")
    url, called, digests = find_address("timm/test_vit")
    assert called.startswith("test_vit.")
    assert url.endswith("/resolve/main/model.safetensors")
    assert digests == {}
    vit = find_preparation("timm/vit_tiny_patch16_224")
    assert vit == ((0.5,) * 3, (0.5,) * 3, 224)


@pytest.fixture
def mirror(timm: Any, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_MIRROR", str(workspace))
    return workspace


def test_a_mirrors_file_of_timms_name_is_taken(mirror: Path, timm: Any) -> None:
    torch.manual_seed(1)
    state = timm.create_model("test_convnext").state_dict()
    name = find_official("timm/test_convnext").name
    save_file(state, mirror / name)
    found = open_weights("imagenet", "timm/test_convnext", "finetune.mine.weights")
    assert found.tensors is not None
    head = find_head("timm/test_convnext")
    assert {key for key in state if not key.startswith(f"{head}.")} == found.tensors.keys()
    assert all(torch.equal(value, state[key]) for key, value in found.tensors.items())
    assert (found.manifest["official"], found.manifest["verified"]) == (True, None)
    assert found.manifest["preparation"]["px"] == 160
    assert found.manifest["note"] == (
        "ImageNet weights of timm/test_convnext, from timm's official file: timm names no checksum "
        "of it."
    )


def test_a_stand_in_is_said_to_be_one_and_has_to_fit(mirror: Path, timm: Any) -> None:
    stand_in = mirror / "timm-test_resnet-imagenet.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), stand_in)
    found = open_weights("imagenet", "timm/test_resnet", "finetune.mine.weights")
    assert (
        "from a mirror's stand-in (timm-test_resnet-imagenet.safetensors), not timm's"
        in (found.manifest["note"])
    )
    save_file(timm.create_model("test_convnext").state_dict(), stand_in)
    with pytest.raises(SourceError, match=r"does not fit timm's timm/test_resnet: .*Missing key"):
        open_weights("imagenet", "timm/test_resnet", "finetune.mine.weights")


def test_a_file_with_other_digits_than_timm_names_is_refused(mirror: Path) -> None:
    (mirror / "resnet18_a1_0-d63eafa0.pth").write_bytes(b"else")
    digest = hashlib.sha256(b"else").hexdigest()
    with pytest.raises(ChecksumError, match=f"sha256 {digest}, not d63eafa0"):
        open_weights("imagenet", "timm/resnet18.a1_in1k", "finetune.mine.weights")


def test_positions_are_stretched_to_images_of_another_size(timm: Any) -> None:
    theirs = timm.create_model("test_vit").state_dict()
    own = build_backbone("timm/test_vit", 3, 64)
    head = find_head("timm/test_vit")
    body = {key: value for key, value in theirs.items() if not key.startswith(f"{head}.")}
    fitted = fit_positions("timm/test_vit", body, own, 64)
    assert fitted.keys() == body.keys()
    assert fitted["pos_embed"].shape == own.state_dict()["pos_embed"].shape
    assert fitted["pos_embed"].shape != theirs["pos_embed"].shape
    assert torch.equal(fitted["norm.weight"], body["norm.weight"])


@pytest.mark.usefixtures("timm")
def test_images_of_a_wrong_size_are_an_error_that_names_a_right_one() -> None:
    with pytest.raises(ParamsError, match=r"cannot take images of 32 pixels .*input_px to 299"):
        check_size("timm/inception_v3", 32, "finetune.mine")


@pytest.mark.slow
@pytest.mark.usefixtures("timm", "workspace")
def test_photos_are_learnt_by_a_network_of_timm_and_exported() -> None:
    photos = draw(f"photos/{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(8))
    recipe = RECIPE | {"architecture": "timm/test_convnext", "input_px": 32, "layer_decay": 0.7}
    write_params(
        str(write_zip(Path("photos.zip"), photos)),
        finetune={"mine": recipe | {"train_from": "stages.1"}},
        models={"baselines": [], "finetune": ["mine"], "averages": {}, "evaluate": ["mine"]},
        split={"val_fraction": 0.2, "test_fraction": 0.2},
    )
    run_all()
    assert r"timm/test\_convnext" in Path("reports/report.md").read_text()
    facts = export_onnx(Path("data/models/mine/best.safetensors"), Path("mine.onnx"))
    assert facts["largest_difference"] < 1e-3
