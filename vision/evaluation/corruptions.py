"""Spoil images in known ways and degrees, to see how soon a model fails.

Kinds and degrees follow those of CIFAR-10-C that need no further files: Hendrycks and Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (2019). They are
for small images. The code is ours, so figures cannot be set beside published ones.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SEVERITIES = range(1, 6)
NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)  # standard deviation, of values in 0..1
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation in pixels
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)  # added to values in 0..1
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # of the distance from the image's mean
JPEG_QUALITY = (80, 65, 58, 50, 40)
PIXELATION = (0.95, 0.9, 0.85, 0.75, 0.65)  # of the side, before it is enlarged again
VALUES_AT_ONCE = 2**22  # in floating point; more is no faster

Spoil = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def start_corruption(kind: str, severity: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes spoilt copies of (n, P, P, 3) uint8 images, one batch after the other.

    Batches of any size give what all images at once would. It computes in pieces of VALUES_AT_ONCE,
    as values in floating point take many times the room of bytes.

    Args:
        kind: a key of CORRUPTIONS.
        severity: 1 to 5.
        seed: of the noise.
    """
    rng = np.random.default_rng([seed, severity])

    def spoil(images: np.ndarray) -> np.ndarray:
        spoilt = np.empty(images.shape, np.uint8)
        n_at_once = max(1, VALUES_AT_ONCE // math.prod(images.shape[1:]))
        for start in range(0, len(images), n_at_once):
            piece = slice(start, start + n_at_once)
            spoilt[piece] = CORRUPTIONS[kind](images[piece], severity - 1, rng)
        return spoilt

    return spoil


def add_noise(images: np.ndarray, degree: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(images.shape, np.float32)
    return _to_bytes(images / np.float32(255) + NOISE[degree] * noise)


def blur(images: np.ndarray, degree: int, _: np.random.Generator) -> np.ndarray:
    sigma = (0, BLUR[degree], BLUR[degree], 0)
    blurred: np.ndarray = gaussian_filter(images / np.float32(255), sigma)
    return _to_bytes(blurred)


def brighten(images: np.ndarray, degree: int, _: np.random.Generator) -> np.ndarray:
    return _to_bytes(images / np.float32(255) + BRIGHTNESS[degree])


def reduce_contrast(images: np.ndarray, degree: int, _: np.random.Generator) -> np.ndarray:
    values = images / np.float32(255)
    means = values.mean((1, 2), keepdims=True)
    return _to_bytes((values - means) * CONTRAST[degree] + means)


def compress(images: np.ndarray, degree: int, _: np.random.Generator) -> np.ndarray:
    return _map(images, lambda image: _compress(image, JPEG_QUALITY[degree]))


def pixelate(images: np.ndarray, degree: int, _: np.random.Generator) -> np.ndarray:
    side = max(1, int(images.shape[1] * PIXELATION[degree]))
    return _map(images, lambda image: image.resize((side, side), Image.Resampling.BOX))


CORRUPTIONS: dict[str, Spoil] = {
    "noise": add_noise,
    "blur": blur,
    "brightness": brighten,
    "contrast": reduce_contrast,
    "JPEG": compress,
    "pixelation": pixelate,
}


def _to_bytes(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (np.clip(values, 0, 1) * 255).round()
    return scaled.astype(np.uint8)


def _map(images: np.ndarray, spoil: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Spoil one image after the other and bring each back to its size."""
    size = (images.shape[2], images.shape[1])
    spoilt = (spoil(Image.fromarray(image)) for image in images)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BOX)) for image in spoilt])


def _compress(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)
