"""Find the temperature of a trained model: that of its own file's bytes, wherever the file lies.

`evaluate` chooses it on validation after the training, so it stands beside the predictions and
not in the model's file.
"""

from dataclasses import dataclass
from pathlib import Path

from vision.base.files import read_json, sha256_of

PREDICTIONS_DIR = Path("data/predictions")
NAME = "calibration.json"  # in a folder of PREDICTIONS_DIR; of a model elsewhere, MODEL.NAME


@dataclass(frozen=True)
class Found:
    """What a model's logits are divided by, and in words what that rests on."""

    temperature: float
    is_calibrated: bool
    words: str


def find_temperature(model: Path) -> Found:
    """Return the temperature that validation chose for this very file, or 1.

    Looked for beside the model, as best.calibration.json, and in data/predictions.
    """
    beside = model.with_name(f"{model.stem}.{NAME}")
    files = [*filter(Path.exists, [beside]), *sorted(PREDICTIONS_DIR.glob(f"*/{NAME}"))]
    digest = sha256_of(model)
    for found in map(read_json, files):
        if found["model_sha256"] == digest:
            n_val, n_wrong = found["n_val"], found["n_wrong"]
            if found["is_fitted"]:
                words = f"temperature scaling, chosen on {n_val:,} validation images"
            else:
                words = (
                    f"no temperature was chosen: {n_wrong:,} of the {n_val:,} validation images "
                    "are wrong, too few or too many to choose one by"
                )
            return Found(found["temperature"], found["is_fitted"], words)
    return Found(1.0, False, "this model was not evaluated: run dvc repro evaluate")
