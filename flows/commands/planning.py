"""Print a plan: a table of the stages, and what is to be said of them below it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.engine.durations import describe_time, describe_total, estimate
from flows.engine.glance import describe_sizes
from flows.engine.plan import PlannedStage, group_elsewhere
from flows.placing.foreseen import describe_moves
from flows.placing.places import HOME, rename_placed

Pools = Mapping[str, str]  # of the stages that run elsewhere


def print_plan(stages: Sequence[PlannedStage], pools: Pools, overrides: Mapping[str, Any]) -> None:
    """Print what a run would do, why, how long it should take, and what would move."""
    there = rename_placed(stages, pools)  # a stage's time is that of its place
    columns = ["stage", "verdict", "why", "time", *["place"] * bool(pools)]
    table = Table(*columns, box=None, header_style="bold")
    for stage, timed in zip(stages, there, strict=True):
        place = [pools.get(stage.name, "")] * bool(pools)
        reasons = "\n".join(stage.reasons)
        table.add_row(stage.name, stage.verdict, reasons, describe_time(timed), *place)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{describe_total(there)}.", soft_wrap=True)
    for line in (*_list_elsewhere(stages), *describe_sizes(stages, overrides)):
        console.print(f"{line}.", soft_wrap=True)
    for line in describe_moves(stages, pools):
        console.print(f"{line}.", soft_wrap=True)


def tabulate_plan(stages: Sequence[PlannedStage], pools: Pools) -> list[dict[str, Any]]:
    """Return a plan for programs: a row for each stage."""
    return [
        asdict(stage) | {"seconds": estimate(timed), "place": pools.get(stage.name, HOME)}
        for stage, timed in zip(stages, rename_placed(stages, pools), strict=True)
    ]


def _list_elsewhere(stages: Sequence[PlannedStage]) -> Iterator[str]:
    for words, names in group_elsewhere([*stages]).items():
        yield f"{', '.join(names)}: {words}"
