"""How a run is told to end: by Ctrl-C, by a signal, or by `prefect flow-run cancel`.

A flow has an event that is set when it is to end; what waits in it looks at that. A flow within
another, as in a sweep, ends with it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows.orchestration.asking import ask

LOOK_S = 2.0  # between looks whether the server was told to cancel
MANAGED = "PREFECT__FLOW_RUN_ID"  # set by a worker, which ends a cancelled run itself
CANCELLED = (StateType.CANCELLING, StateType.CANCELLED)


class Stop(threading.Event):
    """Is set when a run is to end; so are those of the runs within it."""

    def __init__(self, outer: "Stop | None" = None) -> None:
        super().__init__()
        self.outer, self.inner = outer, list[Stop]()
        if outer:
            outer.inner.append(self)
            if outer.is_set():
                self.set()

    def set(self) -> None:
        super().set()
        for stop in self.inner:
            stop.set()

    def set_all(self) -> None:
        """End the outermost run, and so all."""
        if self.outer:
            self.outer.set_all()
        else:
            self.set()


_STOP: ContextVar[Stop | None] = ContextVar("stop", default=None)


def find_stop() -> Stop:
    """Return the event of the flow that we are in; outside of any, one that no one sets."""
    return _STOP.get() or Stop()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Yield the event of a flow. Ctrl-C ends the block, which then counts as done."""
    stop = Stop(_STOP.get())
    token = _STOP.set(stop)
    try:
        if flow_run.get_id() and MANAGED not in os.environ:
            context = copy_context()
            arguments = (_watch, UUID(flow_run.get_id()), stop)
            threading.Thread(target=context.run, args=arguments, daemon=True).start()
        yield stop
    except KeyboardInterrupt:
        stop.set_all()
    finally:
        stop.set()
        _STOP.reset(token)


def _watch(flow_run_id: UUID, stop: Stop) -> None:
    """Set `stop` once the server has been told to cancel the run."""
    logger = get_run_logger()
    with ask() as client:
        while not stop.wait(LOOK_S):
            try:
                state = client.read_flow_run(flow_run_id).state
            except (httpx.HTTPError, ObjectNotFound):
                continue
            if state and state.type in CANCELLED:
                logger.info("cancelled: ending what runs")
                stop.set()
