"""Deal the images into train, val and test, stratified by class, from the seed.

Reads data/raw; writes data/split: train.npy, val.npy, test.npy, summary.json.
Run: python -m stages split
"""

import numpy as np

from vision.base.files import read_array, read_json, write_array, write_json
from vision.base.params import load_section, load_seed
from vision.data.dataset import RAW_DIR, SPLIT_DIR
from vision.data.shards import open_images
from vision.data.splits import count_classes, split_images
from vision.schema.split import SplitParams


def main() -> None:
    seed, params = load_seed(), load_section("split", SplitParams)
    labels = np.asarray(read_array(RAW_DIR / "labels.npy"))
    subsets = np.asarray(read_array(RAW_DIR / "subsets.npy"))
    parts = split_images(open_images(RAW_DIR / "images"), labels, subsets, params, seed)
    classes = read_json(RAW_DIR / "classes.json")
    summary = {}
    for subset, indices in parts.items():
        name = subset.name.lower()
        write_array(SPLIT_DIR / f"{name}.npy", indices)
        counts = count_classes(labels[indices], classes)
        summary[name] = {"n": len(indices), "per_class": counts}
    write_json(SPLIT_DIR / "summary.json", summary)
