"""Seconds and memory of a training by the number of its images, each in a process of its own.

Run by benchmarks.compare: python -m benchmarks.memory FOLDER COUNT
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from vision.data.dataset import ImageSet
from vision.data.sharding import write_images
from vision.data.shards import open_images
from vision.models.networks import build_model
from vision.schema.recipes import TrainParams
from vision.training.loop import Trainer
from vision.training.recipes import LayerPlan, describe_model

IMAGE_PX = 32
RECIPE = {
    "epochs": 2,
    "batch_size": 256,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "crop_padding_px": 4,
    "flip": True,
}


@dataclass(frozen=True)
class Growth:
    n_images: int
    epoch_seconds: float
    memory_mb: float  # the peak, without the pages of the mapped files, which the system may drop


def measure_growth(counts: list[int]) -> list[Growth]:
    with tempfile.TemporaryDirectory() as folder:
        return [_measure(Path(folder), count) for count in counts]


def _measure(folder: Path, count: int) -> Growth:
    shape = (count, IMAGE_PX, IMAGE_PX, 3)
    write_images(folder / "images", np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    command = [sys.executable, "-m", "benchmarks.memory", str(folder), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Growth(count, *json.loads(done.stdout.splitlines()[-1]))


def train(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds of an epoch, and the peak of memory in MB."""
    peak = watch_memory()
    rng = np.random.default_rng(0)
    images = open_images(folder / "images")
    classes = tuple("0123456789")
    data = ImageSet(images, rng.integers(0, 10, count), np.arange(count), classes)
    params = TrainParams.model_validate(RECIPE)
    spec = describe_model("two-layer-fc", params, data, hidden_units=256)
    trainer = Trainer(build_model(spec), spec, data, params, 0, LayerPlan())
    trainer.train_epoch(1, "")  # warms up
    started = time.perf_counter()
    trainer.train_epoch(2, "")
    seconds = time.perf_counter() - started
    return seconds, peak[0]


def watch_memory() -> list[float]:
    """Return a list that holds the peak until now in MB, looked up a hundred times a second."""
    process, peak = psutil.Process(), [0.0]

    def look() -> None:
        while True:
            memory = process.memory_info()
            peak[0] = max(peak[0], (memory.rss - memory.shared) / 1e6)
            time.sleep(0.01)

    threading.Thread(target=look, daemon=True).start()
    return peak


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]), int(sys.argv[2]))))
