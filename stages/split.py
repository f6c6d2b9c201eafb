"""Deal the images into train, val and test, each by its own content and the seed.

Reads data/raw; writes data/split: train.npy, val.npy, test.npy, summary.json.
Run: python -m stages.split
"""

import sys
from typing import Any

import numpy as np

from stages.runner import run_stage
from vision.base.files import read_array, read_json, write_array, write_json
from vision.base.params import load_section, load_seed
from vision.data.dataset import RAW_DIR, SPLIT_DIR
from vision.data.shards import open_images
from vision.data.splits import count_classes, digest_images, join_rare, split_images
from vision.schema.split import SplitParams


def main() -> None:
    seed, params = load_seed(), load_section("split", SplitParams)
    labels = np.asarray(read_array(RAW_DIR / "labels.npy"))
    subsets = np.asarray(read_array(RAW_DIR / "subsets.npy"))
    classes = read_json(RAW_DIR / "classes.json")
    keys = digest_images(open_images(RAW_DIR / "images"))
    split = split_images(keys, labels, subsets, classes, params, seed)
    summary: dict[str, Any] = {}
    for subset, indices in split.indices.items():
        name = subset.name.lower()
        write_array(SPLIT_DIR / f"{name}.npy", indices)
        counts = count_classes(labels[indices], classes)
        summary[name] = {"n": len(indices), "per_class": counts}
    if split.rare:
        summary["rare"] = split.rare
        print(f"in train alone: {join_rare(split.rare)}")
    write_json(SPLIT_DIR / "summary.json", summary)


if __name__ == "__main__":
    sys.exit(run_stage("split", main, sys.argv[1:]))
