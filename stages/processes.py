"""Train in one process for each GPU, or in one process where there is none, from checkpoints."""

from collections.abc import Callable

from stages import worker
from stages.declared import read_declared
from vision.base.distributed import count_wanted, is_worker, launch
from vision.base.fingerprint import find_decisive
from vision.schema.recipes import TrainParams
from vision.training.checkpoints import Checkpoint, Checkpoints, open_checkpoint


def run_training(
    stage: str, name: str, recipe: TrainParams, train: Callable[[str, Checkpoints], None]
) -> None:
    """Call `train` in all processes; each seed goes on where its checkpoint ends.

    Args:
        train: takes the name of a recipe, and the checkpoints of its seeds.

    Raises:
        ParamsError: PIPELINE_PROCESSES is no number above 0.
        SystemExit: another process failed, and has said why.
    """
    count = 1 if is_worker() else count_wanted()
    if count > 1:
        if status := launch(count, worker.__name__, [stage, name]):
            raise SystemExit(status)
        return
    inputs = find_decisive(read_declared(stage, name).deps, {})

    def open_for(seed: int) -> Checkpoint:
        decisive = inputs | find_decisive((), recipe.get_decisive(seed))
        return open_checkpoint(f"{name}-seed-{seed}", decisive)

    train(name, open_for)
