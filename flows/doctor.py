"""Look for what would stop a run, and say the way out."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import torch
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL
from rich.console import Console

from flows.plan import make_plan
from flows.server import GPU_TAG, read_gpu_slots
from vision.errors import PipelineError

NEEDED_GB = 5
GOOD, BAD, NOTE = "[green]ok[/]", "[red]bad[/]", "[yellow]note[/]"

Finding = tuple[str, str]


def examine(fix: bool) -> int:
    """Print the findings and return 1 if one of them would stop a run."""
    checks: list[Callable[[bool], Iterator[Finding]]] = [
        check_machine,
        check_disk,
        check_project,
        check_server,
    ]
    findings = [finding for check in checks for finding in check(fix)]
    for mark, text in findings:
        Console(highlight=False).print(f"{mark:>20}  {text}")
    return int(any(mark == BAD for mark, _ in findings))


def check_machine(fix: bool) -> Iterator[Finding]:
    yield GOOD, f"Python {sys.version.split()[0]}, torch {torch.__version__}"
    if torch.cuda.is_available():
        yield GOOD, f"GPU: {torch.cuda.get_device_name()}"
    else:
        yield NOTE, f"no GPU: training takes the CPU, {torch.get_num_threads()} threads"


def check_disk(fix: bool) -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / 1e9
    text = f"{free:.0f} GB free on the disk of this folder"
    yield (GOOD, text) if free > NEEDED_GB else (BAD, f"{text}: make room, {NEEDED_GB} are needed")


def check_project(fix: bool) -> Iterator[Finding]:
    try:
        plan = make_plan(Path())
    except PipelineError as error:
        yield BAD, str(error)
        return
    stale = sum(stage.verdict != "cached" for stage in plan)
    yield GOOD, f"{len(plan)} stages, {stale} not up to date (pipeline plan says why)"


def check_server(fix: bool) -> Iterator[Finding]:
    url = PREFECT_API_URL.value()
    if not url:
        yield NOTE, "PREFECT_API_URL is not set: each run starts a server of its own (make serve)"
        return
    try:
        with get_client(sync_client=True) as client:
            slots = read_gpu_slots(client)
            holders = _count_holders()
            if slots and slots[1] > holders and fix:
                client.update_global_concurrency_limit(
                    f"tag:{GPU_TAG}", GlobalConcurrencyLimitUpdate(active_slots=holders)
                )
    except httpx.HTTPError as error:
        yield BAD, f"no Prefect server at {url} ({error}): start it, or unset PREFECT_API_URL"
        return
    yield GOOD, f"Prefect server at {url}"
    if slots is None:
        yield NOTE, "stages tagged gpu are not limited: pipeline deploy limits them to one"
    elif slots[1] <= holders:
        yield GOOD, f"GPU slots: {slots[1]} of {slots[0]} taken"
    elif fix:
        yield GOOD, f"GPU slots: {slots[1] - holders} that no run held are free again"
    else:
        yield (
            BAD,
            f"GPU slots: {slots[1]} taken, {holders} in use: pipeline doctor --fix frees them",
        )


def _count_holders() -> int:
    """Return how many task runs tagged `gpu` are running."""
    with get_client(sync_client=True) as client:
        running = client.read_task_runs(
            task_run_filter=TaskRunFilter(
                tags=TaskRunFilterTags(all_=[GPU_TAG]),
                state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])),
            )
        )
    return len(running)
