"""Prefect's server, asked so that no answer harms no run: it may be away at any time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.engine.patience import AWAY_S, AwayError, Tell, insist

P = ParamSpec("P")
T = TypeVar("T")
TIMEOUT_S = 10.0
RETRY_S = 2.0
WAY_OUT = "start it, or unset PREFECT_API_URL"
BUSY = {408, 429, 502, 503}  # statuses after which Prefect's own client tries again, too


@contextmanager
def ask() -> Iterator[SyncPrefectClient]:
    """Yield a client that fails at once; Prefect's own try again for a minute."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_S}) as client,
    ):
        yield client


def is_passing(error: Exception) -> bool:
    """Say whether it is of a server that may answer a little later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in BUSY
    return isinstance(error, httpx.HTTPError)


def ask_patiently(
    question: Callable[[], T],
    stop: threading.Event,
    tell: Tell = lambda _: None,
    away_s: float = AWAY_S,
) -> T:
    """Return the answer to a question, which is asked again while the server is away or busy.

    Args:
        tell: called with why, each time that it is another reason.

    Raises:
        AwayError: it is away for `away_s`, or `stop` is set meanwhile.
    """

    def ask_once() -> T:
        with naming_server():
            return question()

    return insist(ask_once, stop, tell, away_s, RETRY_S)


@contextmanager
def naming_server(way_out: str = WAY_OUT) -> Iterator[None]:
    """Say which server it is that does not answer in the block, and the way out.

    Raises:
        AwayError: it may, a little later.
    """
    try:
        yield
    except httpx.HTTPError as error:
        if not is_passing(error):
            raise
        raise AwayError(describe_absence(error, way_out)) from error


def describe_absence(error: Exception, way_out: str = WAY_OUT) -> str:
    """Say that the server which is set does not answer, why, and the way out."""
    return f"no Prefect server at {PREFECT_API_URL.value()} ({describe_error(error)}): {way_out}"


def harmless(tell: Callable[P, None]) -> Callable[P, None]:
    """Make a function that tells the server something one that a run survives.

    Prefect's own client tries once: a stage that prints is not to wait for a server.
    """

    @wraps(tell)
    def try_to_tell(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                tell(*args, **kwargs)
        except (httpx.HTTPError, OSError, AwayError) as error:
            why = describe_error(error)
            get_run_logger().warning("%s: Prefect has not got it: %s", tell.__name__, why)

    return try_to_tell


def describe_error(error: Exception) -> str:
    """Write an error of the connection, or an answer that is one, in one line."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code} {error.response.reason_phrase}"
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
