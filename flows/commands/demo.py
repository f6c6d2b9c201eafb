"""Run the whole pipeline on scikit-learn's digits in a tree of its own. Run: make demo

Nothing is downloaded, and the results in your own tree stay as they are.
"""

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.engine.overrides import set_params
from flows.engine.tree import make_tree, run_dvc
from vision.base.errors import PipelineError

TREE = Path("demo")
OVERRIDES: dict[str, Any] = {
    "models.baselines": ["two-layer-fc", "three-layer-cnn"],
    "models.finetune": ["paper", "tuned"],
    "~models.averages": None,
    "+models.averages": {},
    "models.evaluate": ["two-layer-fc", "three-layer-cnn", "paper", "tuned"],
    "data.source": "sources/digits.yaml",
    "baselines.two-layer-fc.epochs": 6,
    "baselines.two-layer-fc.flip": False,  # a mirrored digit is another sign
    "baselines.three-layer-cnn.epochs": 6,
    "baselines.three-layer-cnn.flip": False,
    "finetune.paper.weights": "none",  # those of ImageNet would have to be downloaded
    "finetune.paper.epochs": 3,
    "finetune.tuned.weights": "none",
    "finetune.tuned.epochs": 3,
    "finetune.tuned.input_px": 32,
    "finetune.tuned.cache_features": False,
    "finetune.tuned.repeats": 0,
    "finetune.tuned.train_from": "conv1",  # what is random must learn
    "finetune.tuned.flip": False,
    "finetune.tuned.alternate_flip": False,
    "finetune.tuned.test_flip": False,
    "finetune.tuned.test_shift_px": 0,
    "finetune.tuned.precision": "fp32",  # as fast as it gets on any processor
    "finetune.tuned.batch_size": 32,
    "finetune.tuned.learning_rate": 1e-3,
    "robustness.images": 100,
}


def main() -> int:
    console, started = Console(), time.monotonic()
    try:
        console.print(f"Running the pipeline on digits in {TREE}/; a few minutes on 2 cores.")
        tree = make_tree(TREE)
        set_params(tree, OVERRIDES)
        run_dvc(tree, "repro", show=True)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(f"Done in {time.monotonic() - started:.0f} s. Report: {tree}/reports/report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
