"""Run a training stage in one process for each GPU, or in one process where there is none."""

from collections.abc import Callable

from stages.runner import run_stage
from vision.distributed import count_wanted, is_worker, join_processes, launch


def run_training(stage: str, main: Callable[..., None], arguments: list[str]) -> int:
    """Call `main` as `run_stage` does, in all processes, and return the exit status."""
    if not is_worker() and (count := count_wanted()) > 1:
        return launch(count, f"stages.{stage.replace('-', '_')}", arguments)
    with join_processes():
        return run_stage(stage, main, arguments)
