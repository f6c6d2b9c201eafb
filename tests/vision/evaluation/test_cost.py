import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.conftest import CLASSES
from vision.evaluation import cost
from vision.evaluation.cost import Watch, measure_cost, read_photo, summarise_times
from vision.models.inference import Classifier
from vision.models.networks import ModelSpec, build_model

SPEC = ModelSpec(
    "two-layer-fc", CLASSES, 16, 16, (0.4,) * 3, (0.2,) * 3, options={"hidden_units": 4}
)


def test_times_have_a_median_quartiles_and_the_best() -> None:
    found = summarise_times("ms", np.array([1.0, 2.0, 3.0, 4.0, 9.0]))
    assert found == {"ms": 3.0, "ms_best": 1.0, "ms_quartiles": [2.0, 4.0]}
    found = summarise_times("speed", np.array([1.0, 2.0, 3.0, 4.0, 9.0]), best=-1)
    assert found == {"speed": 3.0, "speed_best": 9.0, "speed_quartiles": [2.0, 4.0]}


def test_a_photo_is_decoded_and_takes_longer_than_an_image(tmp_path: Path) -> None:
    classify = Classifier(build_model(SPEC), SPEC).eval()
    path = tmp_path / "model"
    path.write_bytes(b"12345")
    found = measure_cost(path, classify)
    assert found["bytes"] == 5
    assert found["photo_ms_best"] > found["latency_ms_best"]
    photo = cost.files(cost.PHOTO[0]).joinpath(cost.PHOTO[1]).read_bytes()
    pixels = read_photo(classify, photo)
    assert pixels.shape == (1, 16, 16, 3)
    assert pixels.float().std() > 20


def test_a_machine_that_others_use_is_said_to_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program takes all cores for 100 s, of which this one sees a moment."""
    seconds = iter([0.0, 100.0])
    monkeypatch.setattr(cost, "_count_busy_seconds", lambda: next(seconds))
    watch = Watch()
    time.sleep(0.01)
    assert watch.describe()["was_loaded"] is True
    monkeypatch.setattr(cost, "_count_busy_seconds", lambda: 0.0)
    assert Watch().describe() == {
        "cores": psutil.cpu_count(),
        "cores_busy_elsewhere": 0.0,
        "was_loaded": torch.get_num_threads() > (psutil.cpu_count() or 1) + 1,
    }


def test_seconds_of_the_machine_grow_with_work() -> None:
    before, started = cost._count_busy_seconds(), time.perf_counter()
    while time.perf_counter() - started < 0.2:
        pass
    assert cost._count_busy_seconds() > before
