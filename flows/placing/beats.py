"""What the run of a placed stage notes for its sender: that it lives, and how it ended."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.engine.repro import StageFailedError, StoppedError
from flows.orchestration.asking import ask, harmless

T = TypeVar("T")
BEAT, STATUS = "pipeline.beat", "pipeline.exit-status"  # labels
BEAT_S = 5.0


@contextmanager
def beating() -> Iterator[None]:
    """Count on in the record of the flow run for as long as the block lasts."""
    ended = threading.Event()
    if number := flow_run.get_id():
        context = copy_context()
        arguments = (_beat, UUID(number), ended)
        threading.Thread(target=context.run, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _beat(number: UUID, ended: threading.Event) -> None:
    count = 0
    with ask() as client:
        while not ended.wait(BEAT_S):
            count += 1
            with suppress(httpx.HTTPError, ObjectNotFound):
                client.update_flow_run_labels(number, {BEAT: count})


def conclude(work: Callable[[], T]) -> State[Any]:
    """Do the work of a stage or a part; return how it ended, with what it gave and its seconds."""
    started = time.monotonic()
    try:
        given = work()
    except StoppedError:
        return Cancelled(message="the worker was told to end")
    except StageFailedError as error:
        if error.status is not None:
            note_status(error.status)
        return Failed(message=str(error))
    return Completed(data=(given, time.monotonic() - started))


@harmless
def note_status(status: int) -> None:
    """Note the exit status of the stage's own command."""
    if number := flow_run.get_id():
        with ask() as client:
            client.update_flow_run_labels(UUID(number), {STATUS: status})
