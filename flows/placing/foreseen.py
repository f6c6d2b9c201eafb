"""What `pipeline plan` says of stages that are to run in a pool: what moves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flows.engine.plan import PlannedStage
from flows.placing.entries import list_deps, read_stage
from flows.placing.objects import Store, open_store
from flows.placing.trees import describe_way
from vision.base.errors import PipelineError


def describe_moves(plan: Sequence[PlannedStage], pools: Mapping[str, str]) -> Iterator[str]:
    """Yield how the code goes elsewhere and, for each stage, the bytes that go and come back."""
    if not pools:
        return
    current = {stage.name for stage in plan if stage.verdict == "cached"}
    try:
        with open_store(Path()) as store:
            yield describe_way()
            for stage in plan:
                if pool := pools.get(stage.name, ""):
                    open_ones = [name for name in stage.upstream if name not in current]
                    yield f"{stage.name} in {pool}: {_describe_move(store, stage.name, open_ones)}"
    except PipelineError as error:
        yield f"not known what would move: {error}"


def _describe_move(store: Store, name: str, open_ones: Sequence[str]) -> str:
    if open_ones:
        return f"what goes is known when {' and '.join(open_ones)} has run"
    try:
        reading = read_stage(store, name)
        hashes = list_deps(reading.entry)
        going = store.count_missing(hashes[path] for path in reading.held)
    except PipelineError as error:
        return str(error)
    coming = f"some {describe_bytes(reading.bytes)}, as last time," if reading.bytes else "its outs"
    return f"{describe_bytes(going)} to send, {coming} to receive"


def describe_bytes(count: float) -> str:
    """Write a number of bytes as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
