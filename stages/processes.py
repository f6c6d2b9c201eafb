"""Run a training stage in one process for each GPU, or in one process where there is none."""

import sys
from collections.abc import Callable

from stages.runner import run_stage  # isort: skip - before vision
from stages.declared import read_declared
from vision.base.distributed import count_wanted, is_worker, join_processes, launch
from vision.base.errors import ParamsError
from vision.base.fingerprint import find_decisive
from vision.schema.recipes import TrainParams
from vision.training.checkpoints import Checkpoint, Checkpoints, open_checkpoint


def run_training(
    stage: str,
    main: Callable[[str, Checkpoints], None],
    load_recipe: Callable[[str], TrainParams],
    arguments: list[str],
) -> int:
    """Call `main` as `run_stage` does, in all processes, and return the exit status.

    Args:
        main: takes the name of a recipe, and where each seed's training goes on from.
        load_recipe: returns what params.yaml says under that name.
    """

    def go_on(name: str) -> None:
        deps, recipe = read_declared(stage, name).deps, load_recipe(name)

        def open_for(seed: int) -> Checkpoint:
            decisive = find_decisive(deps, recipe.get_decisive(seed))
            return open_checkpoint(f"{name}-seed-{seed}", decisive)

        main(name, open_for)

    def start_workers(name: str) -> None:
        status = launch(count, f"stages.{stage.replace('-', '_')}", arguments)
        if status:
            raise SystemExit(status)

    if is_worker():
        with join_processes():
            return run_stage(stage, go_on, arguments, worker=True)
    try:
        count = count_wanted()
    except ParamsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run_stage(stage, go_on if count == 1 else start_workers, arguments)
