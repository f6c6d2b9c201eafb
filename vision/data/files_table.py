"""The table of files in data/raw: of each row its file, label and subset, and the file's MD5."""

import csv
from pathlib import Path

from vision.base.errors import DataError


def read_columns(path: Path, *names: str) -> list[list[str]]:
    """Return columns of the table, each a list of N texts; one that is not there is of empty ones.

    Raises:
        DataError: it is damaged.
    """
    columns: list[list[str]] = [[] for _ in names]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.reader(file)
            header = next(table, [])
            places = [header.index(name) if name in header else None for name in names]
            for row in table:
                for column, place in zip(columns, places, strict=True):
                    column.append("" if place is None else row[place])
    except (csv.Error, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}): run dvc repro download") from None
    return columns
