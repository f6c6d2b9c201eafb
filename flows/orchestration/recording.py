"""How a run is recorded while Prefect's server is away: it begins later, and ends soon.

Prefect's engine gives up at once where a run is to begin, with a traceback. It asks the server for
minutes to record the end, and then fails a run that is done.
"""

import os
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import FlowRunEngine
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.engine.patience import AWAY_S, AwayError
from flows.orchestration.asking import ask_patiently
from flows.orchestration.stopping import MANAGED, find_stop

T = TypeVar("T")
BEGIN_S = AWAY_S  # for which a server is waited for that is away as a run begins
END_S = 30.0  # and for one that was there and is away as a run ends

_create_flow_run, _set_state = FlowRunEngine.create_flow_run, FlowRunEngine.set_state


def install() -> None:
    """Have Prefect's engine record runs in our way; a worker's runs, it watches over itself."""
    if MANAGED not in os.environ:
        FlowRunEngine.create_flow_run = create_flow_run  # type: ignore[method-assign, assignment]
        FlowRunEngine.set_state = set_state  # type: ignore[method-assign, assignment]


def create_flow_run(engine: FlowRunEngine, client: SyncPrefectClient) -> FlowRun:  # type: ignore[type-arg]
    """Have the server make the record of a run.

    Raises:
        AwayError: the server is away for BEGIN_S.
    """
    return _insist(engine, partial(_create_flow_run, engine, client), find_stop(), BEGIN_S)


def set_state(engine: FlowRunEngine, state: State, force: bool = False) -> State:  # type: ignore[type-arg]
    """Tell the server of a run's state; of its end for END_S at most.

    Raises:
        AwayError: the server is away for BEGIN_S, and the run has not ended.
    """
    step = partial(_set_state, engine, state, force)
    if not state.is_final():
        return _insist(engine, step, find_stop(), BEGIN_S)
    try:
        return _insist(engine, step, Event(), END_S)
    except AwayError:
        what = "has not answered for %.0f s, and holds this run for running"
        way_out = "see pipeline doctor --fix"
        engine.logger.warning(f"%s {what}: {way_out}", PREFECT_API_URL.value(), END_S)
        engine.flow_run.state = state  # type: ignore[union-attr]
        return state


def _insist(engine: FlowRunEngine, step: Callable[[], T], stop: Event, away_s: float) -> T:  # type: ignore[type-arg]
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        return ask_patiently(step, stop, engine.logger.warning, away_s)
