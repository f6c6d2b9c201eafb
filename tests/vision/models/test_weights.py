import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from vision.base.errors import ParamsError, SourceError
from vision.models import weights as module
from vision.models.backbones import outline_backbone
from vision.models.weights import OWN_DIR, check_tensors, open_weights, read_tensors, save_weights

KEY = "finetune.paper.weights"
COUNTER = "bn1.num_batches_tracked"


class SmallNet(nn.Module):
    """The first and the last layers of ResNet18, so that files stay small."""

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(512, n_classes)


@pytest.fixture(autouse=True)
def _small_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "outline_backbone", lambda name, n_classes, px: SmallNet(n_classes))


@pytest.fixture
def state() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {key: value.clone() for key, value in SmallNet(5).state_dict().items()}


@pytest.fixture
def mirror(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_MIRROR", str(workspace))
    return workspace


class Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


def test_a_resnet18_of_five_classes_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "outline_backbone", outline_backbone)
    with torch.device("meta"):
        state = resnet18(num_classes=5).state_dict()
    zeros = {key: torch.zeros(t.shape) for key, t in state.items()}
    assert check_tensors(zeros, "w", "resnet18").keys() == state.keys()


def test_half_precision_becomes_float32_and_counters_stay_whole(state: dict[str, Tensor]) -> None:
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    found = check_tensors(half, "w", "resnet18")
    assert {str(value.dtype) for key, value in found.items() if "num_" not in key} == {
        "torch.float32"
    }
    assert found[COUNTER].dtype == torch.int64
    assert torch.equal(found["conv1.weight"], state["conv1.weight"].half().float())


def test_counters_that_old_files_lack_are_zero(state: dict[str, Tensor]) -> None:
    old = {key: value for key, value in state.items() if key != COUNTER}
    assert check_tensors(old, "w", "resnet18")[COUNTER] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer5.weight": torch.ones(1)}, "w has 'layer5.weight', which torchvision's"),
        ({"conv1.weight": None}, "w lacks 'conv1.weight'"),
        (
            {"conv1.weight": torch.ones(64, 3, 3, 3)},
            r"'conv1.weight' has the shape \(64, 3, 3, 3\)",
        ),
        ({"fc.weight": torch.ones(5, 100)}, r"'fc.weight' has the shape \(5, 100\)"),
        ({"epoch": 3}, "w does not hold tensors by name"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(
    state: dict[str, Tensor], change: dict[str, object], message: str
) -> None:
    changed = {key: value for key, value in (state | change).items() if value is not None}
    with pytest.raises(SourceError, match=message):
        check_tensors(changed, "w", "resnet18")


def test_weights_with_code_are_refused_and_not_run(workspace: Path) -> None:
    OWN_DIR.mkdir(parents=True)
    torch.save({"conv1.weight": Attack()}, OWN_DIR / "evil.pth")
    with pytest.raises(SourceError, match=r"evil\.pth holds code or objects") as caught:
        open_weights("evil.pth", "resnet18", KEY)
    assert "\n" not in str(caught.value)
    assert not (workspace / "attacked").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(SourceError, match=name):
        read_tensors(tmp_path / name, "resnet18")


def test_pth_and_safetensors_hold_the_same_weights(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    one, other = (
        read_tensors(tmp_path / "w.pth", "resnet18"),
        read_tensors(tmp_path / "w.safetensors", "resnet18"),
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_official_weights_are_verified(
    mirror: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror / "resnet18-f37072fd.pth"
    torch.save(state, path)
    save_file(state, mirror / "resnet18-imagenet.safetensors")
    digests = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setattr(module, "IMAGENET", replace(module.IMAGENET, digests=digests))
    manifest = open_weights("imagenet", "resnet18", KEY).manifest
    assert (manifest["official"], manifest["verified"]) == (True, "sha256 of the official file")


def test_a_stand_in_is_recorded_as_such(mirror: Path, state: dict[str, Tensor]) -> None:
    save_file(state, mirror / "resnet18-imagenet-half.safetensors")
    manifest = open_weights("imagenet", "resnet18", KEY).manifest
    assert (manifest["official"], manifest["verified"]) == (False, None)
    assert manifest["name"] == "resnet18-imagenet-half.safetensors"


def test_weights_are_saved_to_the_same_bytes(workspace: Path, state: dict[str, Tensor]) -> None:
    OWN_DIR.mkdir(parents=True)
    save_file(state, OWN_DIR / "mine.safetensors")
    for out, name in (("one", "mine.safetensors"), ("two", "sources/weights/mine.safetensors")):
        save_weights(open_weights(name, "resnet18", KEY), workspace / out)
    one, two = (Path(out, "weights.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two
    assert load_file("one/weights.safetensors").keys() == state.keys()


def test_none_leaves_a_manifest_alone(workspace: Path) -> None:
    (workspace / "weights.safetensors").write_bytes(b"of an earlier run")
    save_weights(open_weights("none", "resnet18", KEY), workspace)
    assert [path.name for path in workspace.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    "value", ["imagnet", "absent.pth", "params.yaml", None, 3, "here.pth", "../../here.pth"]
)
def test_other_weights_are_an_error_that_names_the_choices(workspace: Path, value: object) -> None:
    OWN_DIR.mkdir(parents=True)
    (workspace / "here.pth").touch()  # where DVC would not see it change
    with pytest.raises(ParamsError, match=r"finetune.paper.weights is .*; give imagenet, none, or"):
        open_weights(value, "resnet18", KEY)
