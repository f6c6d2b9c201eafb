import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from vision.files import (
    read_array,
    replacing,
    sha256_of,
    write_array,
    write_bytes,
    write_json,
    write_rows,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write_bytes(path, b"old")
    with suppress(InterruptedError), replacing(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise InterruptedError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_bytes_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.1, "ä"]})
    write_json(tmp_path / "b.json", {"a": [0.1, "ä"], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [0.1, "ä"], "b": 1}


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "loss.json", {"loss": float("nan")})
    assert not (tmp_path / "loss.json").exists()


def test_rows_become_csv_with_a_header(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    assert (tmp_path / "rows.csv").read_text() == "epoch,loss\n1,0.5\n2,0.25\n"


def test_an_array_is_mapped_and_not_writable(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    array = read_array(tmp_path / "a.npy")
    assert isinstance(array, np.memmap)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 7


def test_sha256_of_the_empty_file_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
