"""Train from checkpoints: in one process, or one for each GPU of one machine or several."""

from collections.abc import Callable

from stages import worker
from stages.declared import read_declared
from vision.base.distributed import is_worker, require_same
from vision.base.fingerprint import find_decisive
from vision.base.launching import count_wanted, launch
from vision.base.nodes import read_nodes
from vision.schema.recipes import TrainParams
from vision.training.checkpoints import Checkpoint, Checkpoints, open_checkpoint


def run_training(
    stage: str, name: str, recipe: TrainParams, train: Callable[[str, Checkpoints], None]
) -> None:
    """Call `train` in all processes; each seed goes on where its checkpoint ends.

    Args:
        train: takes the name of a recipe, and the checkpoints of its seeds.

    Raises:
        ParamsError: PIPELINE_PROCESSES, PIPELINE_NODES or PIPELINE_RENDEZVOUS cannot be used.
        TrainingError: the machines do not find each other, or differ in what they train on.
        SystemExit: another process failed, and has said why.
    """
    if not is_worker():
        count, nodes = count_wanted(), read_nodes()
        if count > 1 or nodes.are_several:
            if status := launch(count, worker.__name__, [stage, name], nodes):
                raise SystemExit(status)
            return
    inputs = find_decisive(read_declared(stage, name).deps, {})

    def open_for(seed: int) -> Checkpoint:
        decisive = inputs | find_decisive((), recipe.get_decisive(seed))
        require_same(decisive)
        return open_checkpoint(f"{name}-seed-{seed}", decisive)

    train(name, open_for)
