"""All stages, one after the other, in this process: one small model on photos of 8 pixels."""

from pathlib import Path
from typing import Any

import yaml

from stages import (
    download,
    evaluate,
    explain,
    find_duplicates,
    plot,
    robustness,
    split,
    train_baselines,
)
from tests.stages.test_training_stages import PARAMS


def write_params(source: str, **sections: Any) -> None:
    """Write params.yaml for photos of a folder or archive.

    Args:
        sections: that differ; those of `data` are added to it.
    """
    data = {"source": source, "image_px": 8} | sections.pop("data", {})
    params = PARAMS | {
        "data": data,
        "models": {"baselines": ["fc"], "finetune": [], "evaluate": ["fc"]},
        "robustness": {"images": 6, "batch_size": 8},
        "explain": {"images": 2},
        "duplicates": {"deviations": 5, "min_correlation": 1.0},
        "plot": {"dpi": 50, "most_confused": 5},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params | sections))


def run_all() -> None:
    download.main()
    split.main()
    train_baselines.main("fc")
    evaluate.main("fc")
    robustness.main("fc")
    explain.main("fc")
    find_duplicates.main()
    plot.main()
