"""What `pipeline run --pull` brings from DVC's remote, and `--push` sends to it: by hash."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dvc.output import Output
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile

from flows.engine.plan import READING, PlannedStage, make_plan
from flows.placing.entries import Runs
from flows.placing.objects import Store, open_store


def bring_results(
    tree: Path, targets: Sequence[str] = (), force: bool = False, kept: Path | None = None
) -> list[PlannedStage]:
    """Return the plan of a run, for which the remote has given what it has of the results."""
    with open_store(tree) as store:
        for out in _list_added(store):
            if out.changed_cache() or not out.exists:
                store.pull([out.hash_info.value])
                store.check_out(Path(out.fs_path), out.hash_info.value)
        return make_plan(tree, targets, force, kept=kept, supply=Runs(store))


def send_results(tree: Path) -> int:
    """Send what the remote lacks of all results in dvc.lock, and return its bytes.

    Raises:
        PipelineError: the remote does not take it, or a result is not there to be sent.
    """
    with open_store(tree) as store:
        moved = store.push(out.hash_info.value for out in _list_added(store))
        with READING:
            stages = [each for each in store.repo.index.stages if isinstance(each, PipelineStage)]
        for stage in stages:
            if all(out.hash_info and (out.use_cache or _is_there(out)) for out in stage.outs):
                moved += Runs(store).send(to_single_stage_lockfile(stage))
            else:
                kept = [out for out in stage.outs if out.hash_info and out.use_cache]
                moved += store.push(out.hash_info.value for out in kept)
    return moved


def _list_added(store: Store) -> Iterator[Output]:
    """Yield what `dvc add` has put under DVC."""
    with READING:
        stages = [each for each in store.repo.index.stages if not isinstance(each, PipelineStage)]
    for stage in stages:
        yield from (out for out in stage.outs if out.hash_info and out.use_cache)


def _is_there(out: Output) -> bool:
    return Path(out.cache.oid_to_path(out.hash_info.value)).exists()
