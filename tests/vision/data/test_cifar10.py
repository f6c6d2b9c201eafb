import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.vision.data.batches_pickled import (
    BATCH_IMAGES,
    NAMES,
    pickle_as_python_2,
    pickle_batch,
    write_official,
)
from vision.base.errors import SourceError
from vision.data import cifar10
from vision.data.cifar10 import load_restricted, parse_batch, read_batches


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "BATCH_IMAGES", BATCH_IMAGES)


class Call:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def test_batches_follow_their_numbers_and_test_comes_last(tmp_path: Path) -> None:
    images, labels, _ = read_batches(write_official(tmp_path / "c.tar.gz"))
    assert images.shape == (24, 32, 32, 3)
    assert images[::4, 0, 0].tolist() == [[n, 100 + n, 200 + n] for n in range(6)]
    assert labels[:8].tolist() == [0, 1, 2, 3, 1, 2, 3, 4]


def test_a_batch_of_python_2_is_read() -> None:
    reds_greens_blues = b"\x01" * 1024 + b"\x02" * 1024 + b"\xff" * 1024
    batch = pickle_as_python_2(reds_greens_blues * 4, labels=bytes([9, 0, 3, 3]))
    images, labels, _ = parse_batch(batch, "data_batch_1")
    assert (images == (1, 2, 255)).all()
    assert labels.tolist() == [9, 0, 3, 3]


@pytest.mark.parametrize(
    "call", [Call(os.system, "true"), Call(eval, "1"), Call(np.fromfile, "/dev/null")]
)
def test_a_pickle_that_calls_a_function_is_refused(call: Call) -> None:
    with pytest.raises(SourceError, match=r"data_batch_1 asks for .*: refused"):
        load_restricted(pickle.dumps(call, protocol=2), "data_batch_1")


def test_a_damaged_pickle_is_named() -> None:
    with pytest.raises(SourceError, match="data_batch_1 cannot be unpickled"):
        load_restricted(pickle_batch(1)[:-9], "data_batch_1")


@pytest.mark.parametrize(
    "batch",
    [
        [],
        {},
        {"data": "text", "labels": [1, 2, 3, 4]},
        {"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2, 3]},
        {"data": np.zeros((4, 3072), np.float32), "labels": [1, 2, 3, 4]},
        {"data": np.zeros((4, 3072), np.uint8), "labels": [1, 2, 3, 10]},
        {"data": np.zeros((4, 3072), np.uint8), "labels": [1, 2, 3, "x"]},
    ],
)
def test_a_batch_of_something_else_is_refused(batch: object) -> None:
    with pytest.raises(SourceError, match="data_batch_1 does not hold 4 images and labels"):
        parse_batch(pickle.dumps(batch, protocol=2), "data_batch_1")


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    path = write_official(tmp_path / "c.tar.gz", [name for name in NAMES if "batch_3" not in name])
    with pytest.raises(SourceError, match=r"c\.tar\.gz lacks cifar-10-batches-py/data_batch_3"):
        read_batches(path)
