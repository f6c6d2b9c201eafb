"""What a model costs to use: size, arithmetic, latency, throughput."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vision.base.hardware import describe_hardware
from vision.models.inference import Classifier, inferring
from vision.models.networks import count_parameters

BATCHES = (1, 128)
REPEATS = {1: 20, 128: 3}
WARMUPS = 2


def measure_cost(path: Path, classify: Classifier) -> dict[str, Any]:
    """Return what a stored model costs; times include the preparation of the images.

    All views of an image count, where the model looks at several. Arithmetic is 2 for a
    multiplication with its addition.
    """
    seconds = {size: _time(classify, size) for size in BATCHES}
    return describe_hardware() | {
        "bytes": path.stat().st_size,
        "flops_per_image": count_flops(classify),
        "parameters": count_parameters(classify.network),
        "latency_ms": round(1000 * seconds[1], 2),
        "images_per_second": round(BATCHES[1] / seconds[BATCHES[1]], 1),
        "batch_sizes": list(BATCHES),
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


def _time(classify: Classifier, size: int) -> float:
    """Return the median of the seconds of a batch."""
    images, seconds = make_images(classify, size), []
    with inferring(images.device, classify.spec):
        for _ in range(WARMUPS + REPEATS[size]):
            started = time.perf_counter()
            classify(images).cpu()  # waits for the device
            seconds.append(time.perf_counter() - started)
    return median(seconds[WARMUPS:])
