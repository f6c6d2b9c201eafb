"""Fetch the weights that a fine-tuning recipe starts from, and check that they fit ResNet18.

Reads what `finetune.NAME.weights` names; writes data/pretrained/NAME, see models/pretrained.py.
Run: python -m stages download-weights paper
"""

from vision.base.params import get_value, read_params
from vision.models.pretrained import PRETRAINED_DIR
from vision.models.weights import open_weights, save_weights


def main(name: str) -> None:
    key = f"finetune.{name}.weights"
    weights = open_weights(get_value(read_params(), key), key)
    save_weights(weights, PRETRAINED_DIR / name)
    print(weights.manifest["note"])
