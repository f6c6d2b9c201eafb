"""What a model costs to use: size, arithmetic, latency, throughput."""

import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vision.base.hardware import describe_hardware
from vision.data.images import read_picture
from vision.models.inference import Classifier, inferring
from vision.models.networks import count_parameters

BATCHES = (1, 128)
REPEATS = {1: 20, 128: 4}
WARMUPS = {1: 2, 128: 1}
PHOTO = ("sklearn.datasets.images", "china.jpg")  # a real JPEG, of 640 x 427 pixels
PHOTO_REPEATS = 10
QUIET = 0.25  # cores that other work may take
QUARTILES = (0, 25, 50, 75)  # percentiles: the fastest, and the quartiles


def measure_cost(path: Path, classify: Classifier) -> dict[str, Any]:
    """Return what a stored model costs; times include the preparation of the images.

    All views of an image count, where the model looks at several. Arithmetic is 2 for a
    multiplication with its addition. A time is the median of its repeats; beside it stand the
    fastest and the quartiles. `photo_ms` is of a JPEG file, decoding included.
    """
    watch = Watch()
    images = {size: make_images(classify, size) for size in BATCHES}
    seconds = {
        size: _time(classify, partial(images.__getitem__, size), REPEATS[size], WARMUPS[size])
        for size in BATCHES
    }
    photo = files(PHOTO[0]).joinpath(PHOTO[1]).read_bytes()
    decoded = _time(classify, lambda: read_photo(classify, photo), PHOTO_REPEATS, 1)
    return describe_hardware() | {
        "bytes": path.stat().st_size,
        "flops_per_image": count_flops(classify),
        "parameters": count_parameters(classify.network),
        **summarise_times("latency_ms", 1000 * seconds[1]),
        **summarise_times("photo_ms", 1000 * decoded),
        **summarise_times("images_per_second", BATCHES[1] / seconds[BATCHES[1]], 1, -1),
        "batch_sizes": list(BATCHES),
        **watch.describe(),
    }


class Watch:
    """Sees how much of the machine other programs take meanwhile."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time(), _count_busy_seconds()

    def describe(self) -> dict[str, float | bool]:
        """Return the cores that others took, and whether they took those that were needed."""
        ended = time.perf_counter(), time.process_time(), _count_busy_seconds()
        wall, own, busy = (end - start for end, start in zip(ended, self.started, strict=True))
        others = max(0.0, busy - own) / max(wall, 1e-9)
        cores = psutil.cpu_count() or 1
        is_loaded = others > QUIET and others + torch.get_num_threads() > cores + QUIET
        return {"cores": cores, "cores_busy_elsewhere": round(others, 2), "was_loaded": is_loaded}


def _count_busy_seconds() -> float:
    """Return the seconds that all cores have worked so far."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    nested = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user and nice
    return float(sum(times) - idle - nested)


def summarise_times(
    name: str, values: np.ndarray, digits: int = 2, best: int = 1
) -> dict[str, float | list[float]]:
    """Return the median, the best and the quartiles of some repeats.

    Args:
        best: 1 where less is better, -1 where more is.
    """
    fastest, low, middle, high = np.percentile(best * values, QUARTILES) * best
    quartiles = sorted([round(float(low), digits), round(float(high), digits)])
    return {
        name: round(float(middle), digits),
        f"{name}_best": round(float(fastest), digits),
        f"{name}_quartiles": quartiles,
    }


def count_flops(classify: Classifier) -> int:
    """Return the floating-point operations of one image in matrix products and convolutions."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        classify(make_images(classify, 1))
    return int(counter.get_total_flops())


def make_images(classify: Classifier, count: int) -> Tensor:
    """Return black images: (B, P, P, 3) uint8."""
    side, device = classify.spec.image_px, next(classify.parameters()).device
    return torch.zeros((count, side, side, 3), dtype=torch.uint8, device=device)


def read_photo(classify: Classifier, content: bytes) -> Tensor:
    """Decode a file as the model needs it: (1, P, P, 3) uint8."""
    spec = classify.spec
    pixels = read_picture(content, spec.image_px, fit=spec.fit).pixels
    return torch.from_numpy(pixels[None].copy()).to(next(classify.parameters()).device)


def _time(
    classify: Classifier, read: Callable[[], Tensor], repeats: int, warmups: int
) -> np.ndarray:
    """Return the seconds of each repeat."""
    seconds, device = [], next(classify.parameters()).device
    with inferring(device, classify.spec):
        for _ in range(warmups + repeats):
            started = time.perf_counter()
            classify(read()).cpu()  # waits for the device
            seconds.append(time.perf_counter() - started)
    return np.array(seconds[warmups:])
