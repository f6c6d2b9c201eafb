"""Serve a work pool from this clone: a worker of Prefect's that begins a stage within seconds."""

import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.engine.patience import AwayError
from flows.orchestration.asking import ask
from flows.orchestration.reach import check_answer, wait_for_answer
from flows.orchestration.server import start
from flows.orchestration.signs import AT_WORK, bury, is_gone, list_runs
from flows.placing.pools import FLOW
from vision.base.errors import PipelineError

CODE = Path(__file__).parents[2]  # the project that `flows` is part of
PROMPT = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",  # between looks for work
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",  # by which senders see that someone serves the pool
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",  # for senders who read along
    "PREFECT_CLIENT_MAX_RETRIES": "7",  # a server that is away for four minutes
}


def work(pool: str, limit: int | None = None) -> int:
    """Run the stages that are placed in a pool until told to end; return the worker's status.

    A worker of Prefect's gives up on a server that is away for long: another is started when it is
    back.

    Args:
        limit: of stages side by side.

    Raises:
        PipelineError: there is no such pool.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            way_out = f"pipeline deploy --pool {pool}"
            raise PipelineError(f"{client.api_url} has no pool {pool}: {way_out}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as containers are stopped
    options = ("--limit", str(limit)) if limit else ()
    words = ("prefect", "worker", "start", "--pool", pool, *options)
    try:
        while (status := _run(words)) and _is_away():
            wait_for_answer(math.inf)
    except KeyboardInterrupt:
        return 0
    finally:
        bury_ended()
    return status


def bury_ended() -> None:
    """Tell the server of stages that ended with the worker: so their senders ask others at once."""
    with suppress(httpx.HTTPError), ask() as client:  # they do so in a minute
        for run in list(list_runs(client, AT_WORK, FLOW)):
            if is_gone(run):
                bury(client, run)


def _run(words: Sequence[str]) -> int:
    worker = start(*words, **PROMPT | _find_python())
    try:
        return worker.wait()
    finally:
        worker.terminate()
        worker.wait()


def _is_away() -> bool:
    """Say whether the server does not answer."""
    try:
        check_answer()
    except AwayError:
        return True
    return False


def _find_python() -> dict[str, str]:
    """Return the environment in which `python` is this one, and knows this code."""
    folders = {"PATH": Path(sys.executable).parent, "PYTHONPATH": CODE}
    return {
        name: os.pathsep.join(filter(None, [str(folder), os.environ.get(name, "")]))
        for name, folder in folders.items()
    }
