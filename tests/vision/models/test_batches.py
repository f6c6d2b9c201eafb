import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import make_image_set
from vision.data.dataset import ImageSet
from vision.models import batches as module
from vision.models.batches import (
    HELD_SHARE,
    Held,
    can_hold,
    count_batches,
    iterate_batches,
    measure_channels,
    read_batch,
    to_input,
)
from vision.models.networks import ModelSpec

CPU = torch.device("cpu")


def spec(input_px: int, mean: float = 0.0, std: float = 1.0) -> ModelSpec:
    return ModelSpec("resnet18", ("a", "b"), 8, input_px, (mean,) * 3, (std,) * 3)


def test_every_image_comes_once_in_the_given_order() -> None:
    data = make_image_set(4)
    order = torch.tensor([11, 3, 7, 0, 5, 1, 2])
    batches = list(iterate_batches(data, order, 3, CPU))
    assert torch.cat([b.labels for b in batches]).tolist() == [2, 0, 1, 0, 1, 0, 0]
    assert np.array_equal(batches[0].images[0].numpy(), data.images[11])


def test_images_that_a_device_holds_are_those_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 3 * 8 * 8)  # three images
    data = replace(make_image_set(4), indices=np.array([1, 2, 5, 7, 8, 10, 11]))
    positions = torch.tensor([6, 0, 3, 0])
    held, read = Held.take(data, CPU).read(positions), read_batch(data, positions, CPU)
    assert torch.equal(held.images, read.images)
    assert torch.equal(held.labels, read.labels)


def test_a_gpu_holds_what_fits_beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    data, gpu = make_image_set(4), torch.device("cuda")
    needed = int(12 * 8 * 8 * 3 / HELD_SHARE)
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert can_hold(data, gpu) is fits
    assert not can_hold(data, CPU)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(7, 3, [3, 2, 2]), (9, 3, [3, 3, 3]), (3, 2, [3]), (5, 2, [3, 2]), (1, 8, [1])],
)
def test_batches_differ_by_one_image_at_most(count: int, batch_size: int, sizes: list[int]) -> None:
    batches = iterate_batches(make_image_set(4), torch.arange(count), batch_size, CPU)
    assert [len(batch.labels) for batch in batches] == sizes
    assert count_batches(count, batch_size) == len(sizes)


def test_input_is_normalised_and_channels_come_first() -> None:
    images = torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)
    x = to_input(images, spec(4, mean=0.5, std=0.25))
    assert x.shape == (2, 3, 4, 4)
    assert x.unique().tolist() == [2.0]  # (1 - 0.5) / 0.25


@pytest.mark.parametrize("input_px", [4, 16])
def test_input_is_resized_to_what_the_network_sees(input_px: int) -> None:
    x = to_input(torch.full((1, 8, 8, 3), 51, dtype=torch.uint8), spec(input_px))
    assert x.shape == (1, 3, input_px, input_px)
    assert torch.allclose(x, torch.tensor(0.2))


def test_channel_statistics_are_those_of_the_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.models.batches.PIXELS_AT_ONCE", 4)  # one image
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[0, :, :, 0], images[1, :, :, 0], images[2] = 0, 255, 99
    data = ImageSet(images, np.zeros(3, np.int64), np.array([0, 1]), ("a",))
    mean, std = measure_channels(data)
    assert mean == (0.5, 0.0, 0.0)
    assert std == pytest.approx((0.5, 1e-6, 1e-6))


def test_channel_statistics_take_little_memory() -> None:
    images = np.broadcast_to(np.uint8(7), (200, 224, 224, 3))  # 240 MB as values of 8 bytes
    data = ImageSet(images, np.zeros(200, np.int64), np.arange(200), ("a",))
    tracemalloc.start()
    measure_channels(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
