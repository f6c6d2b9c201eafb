"""Look for test images that are in the training images too.

Reads data/raw, data/split; writes data/duplicates.json.
Run: python -m stages find-duplicates
"""

from dataclasses import asdict
from pathlib import Path

from vision.base.files import write_json
from vision.base.sections import load_section
from vision.data.dataset import load_split
from vision.evaluation.duplicates import find_duplicates
from vision.schema.duplicates import DuplicatesParams

DUPLICATES = Path("data/duplicates.json")


def main() -> None:
    params = load_section("duplicates", DuplicatesParams)
    train, test = load_split("train"), load_split("test")
    found, likeness = find_duplicates(train, test, params)
    rows = [
        {"test_row": int(test.indices[twin.test]), "train_row": int(train.indices[twin.train])}
        for twin in found
    ]
    pairs = [asdict(twin) | row for twin, row in zip(found, rows, strict=True)]
    facts = {"n_test": len(test), "n_train": len(train), "is_too_alike": likeness.is_too_alike}
    write_json(DUPLICATES, params.model_dump() | facts | asdict(likeness) | {"pairs": pairs})
