"""Where each stage runs: at home, or in a work pool, as dvc.yaml and the command line say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flows.engine.checks import check_targets
from flows.engine.plan import PlannedStage
from vision.base.errors import ParamsError

HOME = "home"
POOL = "pool"  # key under meta.prefect


def parse_places(texts: Sequence[str]) -> dict[str, str]:
    """Return the pool of each stage that is named as STAGE=POOL.

    Raises:
        ParamsError: one is not of this form.
    """
    places = {}
    for text in texts:
        stage, equals, pool = text.partition("=")
        if not (stage and equals and pool) or "/" in pool:
            form = f"write --place STAGE=POOL, or STAGE={HOME}"
            raise ParamsError(f"--place {text!r} names no stage and pool: {form}")
        places[stage] = pool
    return places


def check_places(texts: Sequence[str], root: Path = Path()) -> dict[str, str]:
    """Return the same, if dvc.yaml has the stages."""
    places = parse_places(texts)
    check_targets(root, tuple(places))
    return places


def find_pool(stage: PlannedStage, places: Mapping[str, str]) -> str:
    """Return the pool that a stage is to run in; nothing for at home.

    What is said of one member of a matrix goes before what is said of all.
    """
    group = stage.name.partition("@")[0]
    pool = places.get(stage.name) or places.get(group) or stage.meta.get(POOL, HOME)
    return "" if pool == HOME else str(pool)


def place_stages(plan: Sequence[PlannedStage], places: Mapping[str, str]) -> dict[str, str]:
    """Return the pool of each stage of a plan that may run and is not to at home."""
    due = [stage for stage in plan if stage.verdict in ("run", "maybe")]
    return {stage.name: pool for stage in due if (pool := find_pool(stage, places))}


def name_there(stage: str, pool: str) -> str:
    """Return under what name it is noted how long a stage takes in a pool."""
    return f"{stage} in {pool}"


def rename_placed(plan: Sequence[PlannedStage], pools: Mapping[str, str]) -> list[PlannedStage]:
    """Return a plan with stages that run elsewhere under the names that their times have."""
    return [
        replace(stage, name=name_there(stage.name, pools[stage.name]))
        if stage.name in pools
        else stage
        for stage in plan
    ]
