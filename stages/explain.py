"""Find out where a trained model looks, and which test images are alike to it.

Reads data/raw, data/split, data/models/NAME, of data/predictions/NAME test_logits.npy and
calibration.json; writes data/explanations/NAME: heat maps of images that it gets right and wrong,
and a place on a plane for many.
Run: python -m stages explain paper
"""

from pathlib import Path

import numpy as np

from vision.base.files import read_array, read_json, write_array, write_json
from vision.base.sections import load_section
from vision.data.dataset import load_split
from vision.data.subsets import take_evenly
from vision.evaluation.attention import explain, find_layer
from vision.evaluation.embedding import compute_features, lay_out
from vision.evaluation.gallery import find_mistakes
from vision.evaluation.probabilities import Scores, score
from vision.models.networks import load_model
from vision.schema.explain import ExplainParams

MODELS_DIR = Path("data/models")
PREDICTIONS_DIR = Path("data/predictions")
EXPLANATIONS_DIR = Path("data/explanations")
MOST_CLASSES = 24  # of which a right prediction is explained
SEED = 0  # of which images are laid out, the same for all models


def main(name: str) -> None:
    params, out = load_section("explain", ExplainParams), EXPLANATIONS_DIR / name
    model, spec = load_model(MODELS_DIR / name / "best.safetensors")
    test = load_split("test")
    logits, labels = read_array(PREDICTIONS_DIR / name / "test_logits.npy"), test.get_labels()
    temperature = read_json(PREDICTIONS_DIR / name / "calibration.json")["temperature"]
    scores = score(logits, labels, temperature)
    right = find_surest_of_each_class(scores, labels)
    wrong = [mistake.position for mistake in find_mistakes(scores, labels, params.images)]
    found = find_layer(model, spec)
    mapped = take_evenly(test, params.mapped, SEED)
    facts = {
        "layer": found.name if found else None,
        "right": right,
        "wrong": wrong,
        "mapped": np.flatnonzero(np.isin(test.indices, mapped.indices)).tolist(),
    }
    write_json(out / "images.json", facts)
    write_array(out / "places.npy", lay_out(compute_features(model, spec, mapped)))
    positions = np.array([*right, *wrong] if found else [], np.int64)
    maps = np.zeros((0, 1, 1), np.float32)
    if found and len(positions):
        images = np.asarray(test.images[test.indices[positions]])
        maps = explain(model, spec, images, scores.predicted[positions], found)
    write_array(out / "maps.npy", maps)


def find_surest_of_each_class(scores: Scores, labels: np.ndarray) -> list[int]:
    """Return right predictions, the surest of each class; of many classes, spread over them."""
    right = np.flatnonzero(scores.right)
    surest_first = right[np.argsort(-scores.confidence[right], kind="stable")]
    _, firsts = np.unique(labels[surest_first], return_index=True)
    if not len(firsts):
        return []
    kept = np.unique(np.linspace(0, len(firsts) - 1, MOST_CLASSES).astype(int))
    return [int(surest_first[firsts[k]]) for k in kept]
