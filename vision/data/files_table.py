"""The table of files in data/raw: of each row its file, label and subset, and the file's MD5."""

import csv
from pathlib import Path

from vision.base.errors import DataError


def read_columns(path: Path, *names: str) -> list[list[str]]:
    """Return columns of the table, each a list of N texts; one that is not there is of empty ones.

    Raises:
        DataError: it is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}): run dvc repro download") from None
    return [[row.get(name) or "" for row in rows] for name in names]
