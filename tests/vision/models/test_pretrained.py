from pathlib import Path

import torch
from safetensors.torch import save_file

from vision.base.files import write_json
from vision.models.pretrained import load_pretrained, load_pretrained_manifest


def test_a_recipe_without_weights_starts_from_none(tmp_path: Path) -> None:
    write_json(tmp_path / "plain/manifest.json", {"weights": "none"})
    assert load_pretrained("plain", tmp_path) is None


def test_weights_and_manifest_are_those_of_the_recipe(tmp_path: Path) -> None:
    write_json(tmp_path / "paper/manifest.json", {"weights": "imagenet", "official": False})
    save_file({"conv1.weight": torch.ones(2)}, tmp_path / "paper/weights.safetensors")
    weights = load_pretrained("paper", tmp_path)
    assert weights is not None
    assert weights["conv1.weight"].tolist() == [1.0, 1.0]
    assert load_pretrained_manifest("paper", tmp_path)["official"] is False
