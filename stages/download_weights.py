"""Fetch the weights that a fine-tuning recipe starts from, and check that they fit its network.

Reads what `weights` and `architecture` of finetune.NAME name; writes data/pretrained/NAME, see
models/pretrained.py.
Run: python -m stages download-weights paper
"""

from vision.base.params import get_value, read_params
from vision.models.backbones import check_name
from vision.models.pretrained import PRETRAINED_DIR
from vision.models.weights import open_weights, save_weights


def main(name: str) -> None:
    key, params = f"finetune.{name}", read_params()
    architecture = get_value(params, f"{key}.architecture")
    check_name(architecture, f"{key}.architecture")
    weights = open_weights(get_value(params, f"{key}.weights"), architecture, f"{key}.weights")
    save_weights(weights, PRETRAINED_DIR / name)
    print(weights.manifest["note"])
