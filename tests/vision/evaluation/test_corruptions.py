import numpy as np
import pytest

from vision.evaluation import corruptions
from vision.evaluation.corruptions import CORRUPTIONS, SEVERITIES, find_degrees, start_corruption

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
    corrupted = start_corruption(kind, 3, 7)(IMAGES)
    assert corrupted.dtype == np.uint8
    assert corrupted.shape == IMAGES.shape
    assert np.array_equal(corrupted, start_corruption(kind, 3, 7)(IMAGES))
    assert np.array_equal(IMAGES, before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_batches_and_pieces_give_the_same_bytes_as_all_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (7, 15, 15, 3), dtype=np.uint8)
    whole = start_corruption(kind, 4, 3)(images)
    monkeypatch.setattr(corruptions, "VALUES_AT_ONCE", 2 * 15 * 15 * 3)
    corrupt = start_corruption(kind, 4, 3)
    parts = [corrupt(part) for part in np.array_split(images, [3, 4])]
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


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_degrees_are_the_published_ones_at_both_sides_and_lie_between(kind: str) -> None:
    small, between, large = (np.array(find_degrees(kind, px)) for px in (32, 96, 224))
    expected = {
        "blur": (0.4, 1.0, 1.0, 6.0),
        "JPEG": (80, 40, 25, 7),
        "noise": (0.04, 0.1, 0.08, 0.38),
    }
    if kind in expected:
        assert (small[0], small[-1], large[0], large[-1]) == expected[kind]
    assert np.array_equal(np.sign(np.diff(small)), np.sign(np.diff(between)))
    assert (np.abs(np.log(between / small)) < np.abs(np.log(large / small))).all()
    assert find_degrees(kind, 8) == small.tolist()


def test_the_highest_blur_is_seen_on_large_images() -> None:
    """Stripes of 6 pixels at 150: a standard deviation of 1, as on small images, leaves them."""
    stripes = np.zeros((1, 150, 150, 3), np.uint8)
    stripes[:, np.arange(150) % 12 < 6] = 255
    blurred = start_corruption("blur", 5, 0)(stripes)[0, 60:90, 75, 0]
    assert int(blurred.max()) - int(blurred.min()) < 160
    assert find_degrees("blur", 448)[-1] == 12.0
