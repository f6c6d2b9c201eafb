"""Corrupt images in known ways and degrees, to see how soon a model fails.

Kinds and degrees are those of CIFAR-10-C at 32 pixels and of ImageNet-C at 224, as far as they need
no further files: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019). Between the two sizes degrees grow evenly in their
logarithms, as the same blur that ruins a small image is nothing on a large one. The code is ours,
so figures cannot be set beside published ones.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SEVERITIES = range(1, 6)
SMALL_PX, LARGE_PX = 32, 224  # sides of images that the degrees are known for
DEGREES = {  # of each severity, on small and on large images
    "noise": (  # standard deviation, of values in 0..1
        (0.04, 0.06, 0.08, 0.09, 0.10),
        (0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    "blur": (  # standard deviation in pixels
        (0.4, 0.6, 0.7, 0.8, 1.0),
        (1.0, 2.0, 3.0, 4.0, 6.0),
    ),
    "brightness": (  # added to values in 0..1
        (0.05, 0.1, 0.15, 0.2, 0.3),
        (0.1, 0.2, 0.3, 0.4, 0.5),
    ),
    "contrast": (  # of the distance from the image's mean
        (0.75, 0.5, 0.4, 0.3, 0.15),
        (0.4, 0.3, 0.2, 0.1, 0.05),
    ),
    "JPEG": (  # quality
        (80, 65, 58, 50, 40),
        (25, 18, 15, 10, 7),
    ),
    "pixelation": (  # of the side, before it is enlarged again
        (0.95, 0.9, 0.85, 0.75, 0.65),
        (0.6, 0.5, 0.4, 0.3, 0.25),
    ),
}
DIGITS = 4  # of a degree
VALUES_AT_ONCE = 2**22  # in floating point; more is no faster

Corrupt = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def find_degrees(kind: str, image_px: int) -> list[float]:
    """Return what each severity means on images of this side.

    Beyond the sides that degrees are known for they stay as they are, but for the blur of larger
    images, which goes on with the side.
    """
    share = math.log(image_px / SMALL_PX) / math.log(LARGE_PX / SMALL_PX)
    inside = min(max(share, 0.0), 1.0)
    beyond = max(1.0, image_px / LARGE_PX) if kind == "blur" else 1.0
    return [
        round(beyond * small ** (1 - inside) * large**inside, DIGITS)
        for small, large in zip(*DEGREES[kind], strict=True)
    ]


def start_corruption(kind: str, severity: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes corrupted copies of (n, P, P, 3) uint8 images, one batch after the other.

    Batches of any size give what all images at once would. It computes in pieces of VALUES_AT_ONCE,
    as values in floating point take many times the room of bytes.

    Args:
        kind: a key of CORRUPTIONS.
        severity: 1 to 5.
        seed: of the noise.
    """
    rng = np.random.default_rng([seed, severity])

    def corrupt(images: np.ndarray) -> np.ndarray:
        corrupted = np.empty(images.shape, np.uint8)
        degree = find_degrees(kind, images.shape[1])[severity - 1]
        n_at_once = max(1, VALUES_AT_ONCE // math.prod(images.shape[1:]))
        for start in range(0, len(images), n_at_once):
            piece = slice(start, start + n_at_once)
            corrupted[piece] = CORRUPTIONS[kind](images[piece], degree, rng)
        return corrupted

    return corrupt


def add_noise(images: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(images.shape, np.float32)
    return _to_bytes(images / np.float32(255) + degree * noise)


def blur(images: np.ndarray, degree: float, _: np.random.Generator) -> np.ndarray:
    sigma = (0, degree, degree, 0)
    blurred: np.ndarray = gaussian_filter(images / np.float32(255), sigma)
    return _to_bytes(blurred)


def brighten(images: np.ndarray, degree: float, _: np.random.Generator) -> np.ndarray:
    return _to_bytes(images / np.float32(255) + degree)


def reduce_contrast(images: np.ndarray, degree: float, _: np.random.Generator) -> np.ndarray:
    values = images / np.float32(255)
    means = values.mean((1, 2), keepdims=True)
    return _to_bytes((values - means) * degree + means)


def compress(images: np.ndarray, degree: float, _: np.random.Generator) -> np.ndarray:
    return _map(images, lambda image: _compress(image, round(degree)))


def pixelate(images: np.ndarray, degree: float, _: np.random.Generator) -> np.ndarray:
    side = max(1, int(images.shape[1] * degree))
    return _map(images, lambda image: image.resize((side, side), Image.Resampling.BOX))


CORRUPTIONS: dict[str, Corrupt] = {
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


def _map(images: np.ndarray, corrupt: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Corrupt one image after the other and bring each back to its size."""
    size = (images.shape[2], images.shape[1])
    corrupted = (corrupt(Image.fromarray(image)) for image in images)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BOX)) for image in corrupted])


def _compress(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)
