import numpy as np
import pytest

from vision.evaluation import corruptions
from vision.evaluation.corruptions import CORRUPTIONS, SEVERITIES, start_corruption

IMAGES = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_higher_severity_changes_more(kind: str) -> None:
    changes = [
        np.abs(start_corruption(kind, severity, 0)(IMAGES).astype(float) - IMAGES).mean()
        for severity in SEVERITIES
    ]
    assert changes[0] > 0
    assert changes == sorted(changes)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_seed_decides_and_the_images_stay(kind: str) -> None:
    before = IMAGES.copy()
    spoilt = start_corruption(kind, 3, 7)(IMAGES)
    assert spoilt.dtype == np.uint8
    assert spoilt.shape == IMAGES.shape
    assert np.array_equal(spoilt, start_corruption(kind, 3, 7)(IMAGES))
    assert np.array_equal(IMAGES, before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_batches_and_pieces_give_the_same_bytes_as_all_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (7, 15, 15, 3), dtype=np.uint8)
    whole = start_corruption(kind, 4, 3)(images)
    monkeypatch.setattr(corruptions, "VALUES_AT_ONCE", 2 * 15 * 15 * 3)
    spoil = start_corruption(kind, 4, 3)
    parts = [spoil(part) for part in np.array_split(images, [3, 4])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_noise_has_the_strength_that_it_says() -> None:
    grey = np.full((8, 32, 32, 3), 128, np.uint8)
    noise = start_corruption("noise", 2, 0)(grey) / 255 - 128 / 255
    assert noise.std() == pytest.approx(0.06, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.002)


def test_brightness_and_contrast_do_what_they_say() -> None:
    step = np.zeros((1, 2, 2, 3), np.uint8)
    step[:, 0] = 100
    assert start_corruption("brightness", 2, 0)(step)[0, :, 0, 0].tolist() == [126, 26]
    assert start_corruption("contrast", 2, 0)(step)[0, :, 0, 0].tolist() == [75, 25]
