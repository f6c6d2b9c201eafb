"""All stages, one after the other, in this process; photos of 8 pixels if nothing else is said."""

from pathlib import Path
from typing import Any

import yaml

from stages import (
    average,
    download,
    download_weights,
    evaluate,
    explain,
    find_duplicates,
    finetune_resnet,
    plot,
    robustness,
    split,
    train_baselines,
)
from tests.stages.test_training_stages import PARAMS
from vision.base.params import read_params


def write_params(source: str, **sections: Any) -> None:
    """Write params.yaml for photos of a folder or archive.

    Args:
        sections: that differ; those of `data` are added to it.
    """
    data = {"source": source, "image_px": 8} | sections.pop("data", {})
    params = PARAMS | {
        "data": data,
        "models": {"baselines": ["fc"], "finetune": [], "averages": {}, "evaluate": ["fc"]},
        "robustness": {"images": 6, "batch_size": 8},
        "explain": {"images": 2},
        "duplicates": {"deviations": 5, "min_correlation": 1.0},
        "plot": {"dpi": 50, "most_confused": 5},
    }
    Path("params.yaml").write_text(yaml.safe_dump(params | sections))


def run_all() -> None:
    params = read_params()
    download.main()
    split.main()
    for name in params["models"]["baselines"]:
        train_baselines.train(name)
    for name in params["models"]["finetune"]:
        download_weights.main(name)
        finetune_resnet.train(name)
    for name in params["models"]["averages"]:
        average.main(name)
    for name in params["models"]["evaluate"]:
        evaluate.main(name)
        robustness.main(name)
        explain.main(name)
    find_duplicates.main()
    plot.main()
