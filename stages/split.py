"""Deal the images into train, val and test, each by its own content and the seed.

Reads data/raw, its pictures only where the MD5 of their files is not known; writes data/split:
train.npy, val.npy, test.npy, summary.json.
Run: python -m stages split
"""

from typing import Any

import numpy as np

from vision.base.files import read_array, read_json, write_array, write_json
from vision.base.sections import load_section, load_seed
from vision.data.dataset import FILES, RAW_DIR, SPLIT_DIR
from vision.data.files_table import read_columns
from vision.data.shards import open_images
from vision.data.splits import (
    MOST_NAMED,
    count_classes,
    find_disputed,
    find_groups,
    join_groups,
    join_rare,
    key_images,
    split_images,
)
from vision.schema.split import SplitParams


def main() -> None:
    seed, params = load_seed(), load_section("split", SplitParams)
    labels = np.asarray(read_array(RAW_DIR / "labels.npy"))
    subsets = np.asarray(read_array(RAW_DIR / "subsets.npy"))
    classes = read_json(RAW_DIR / "classes.json")
    names, md5s, groups = read_columns(RAW_DIR / FILES, "file", "md5", "group")
    keys = key_images(md5s, open_images(RAW_DIR / "images"))
    if len(disputed := find_disputed(keys, labels)):
        print(describe_disputed(names, disputed))
    if params.group:
        groups = find_groups(names, params.group)
    keys = join_groups(keys, groups) if any(groups) else keys
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


def describe_disputed(names: list[str], rows: np.ndarray) -> str:
    some = ", ".join(names[row] for row in rows[:MOST_NAMED].tolist())
    more = f" and {len(rows) - MOST_NAMED:,} more" if len(rows) > MOST_NAMED else ""
    return f"equal files of different classes: {some}{more}"
