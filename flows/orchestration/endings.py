"""How a run ends while Prefect's server is away: as it would have, and soon.

Prefect's engine asks the server for minutes to record the end, and then fails a run that is done.
"""

import os
import time

import httpx
from prefect.client.schemas.objects import State
from prefect.flow_engine import FlowRunEngine
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.orchestration.asking import RETRY_S, is_passing
from flows.orchestration.stopping import MANAGED

PATIENCE_S = 30.0  # with a server that was there and is away as a run ends

_set_state = FlowRunEngine.set_state


def install() -> None:
    """Have Prefect's engine record ends in our way; those of a worker's runs can wait longer."""
    if MANAGED not in os.environ:
        FlowRunEngine.set_state = set_state  # type: ignore[method-assign, assignment]


def set_state(engine: FlowRunEngine, state: State, force: bool = False) -> State:  # type: ignore[type-arg]
    """Tell the server of a run's state; of its end for PATIENCE_S at most."""
    if not state.is_final():
        return _set_state(engine, state, force)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                return _set_state(engine, state, force)
        except httpx.HTTPError as error:
            if not is_passing(error):
                raise
            if time.monotonic() > deadline:
                break
            time.sleep(RETRY_S)
    what = "has not answered for %.0f s, and holds this run for running: see pipeline doctor --fix"
    engine.logger.warning(f"%s {what}", PREFECT_API_URL.value(), PATIENCE_S)
    engine.flow_run.state = state  # type: ignore[union-attr]
    return state
