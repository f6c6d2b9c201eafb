"""Run a training stage in one process for each GPU, or in one process where there is none."""

import sys
from collections.abc import Callable

from stages.runner import INTERRUPTED, run_stage
from vision.distributed import count_wanted, is_worker, join_processes, launch
from vision.errors import ParamsError


def run_training(stage: str, main: Callable[..., None], arguments: list[str]) -> int:
    """Call `main` as `run_stage` does, in all processes, and return the exit status."""
    if is_worker():
        with join_processes():
            return run_stage(stage, main, arguments)
    try:
        if (count := count_wanted()) > 1:
            return launch(count, f"stages.{stage.replace('-', '_')}", arguments)
    except ParamsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return run_stage(stage, main, arguments)
