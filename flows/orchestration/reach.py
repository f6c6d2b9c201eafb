"""A Prefect server for a run that was typed: the one that is set, or one that ends with the run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from threading import Event
from typing import Any

import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engine.patience import AwayError, insist
from flows.engine.prefect_home import check_database, find_home
from flows.orchestration.asking import (
    RETRY_S,
    ask,
    describe_absence,
    is_passing,
    naming_server,
)
from flows.orchestration.server import start
from vision.base.errors import PipelineError

START_S = 120.0
AWAY_S = 60.0  # for which a server is waited for that may be starting anew
ANSWER_S = 8.0
TEMPORARY = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",  # without what schedules
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
}
SERVER = ("uvicorn", "--factory", "prefect.server.api.server:create_app", "--log-level", "error")


@contextmanager
def reach_server() -> Iterator[None]:
    """See that a server answers; where none is set, run one while the block lasts.

    It ends with us however we end, as stages do.

    Raises:
        PipelineError: none answers, for AWAY_S or when the block asks it; or none can be started.
    """
    if PREFECT_API_URL.value():
        wait_for_answer(AWAY_S)
        with naming_server():
            yield
        return
    if not os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        check_database(find_home() / "prefect.db")
    _tell("starting a Prefect server for this command")
    port = find_port()
    url = f"http://127.0.0.1:{port}/api"
    with tempfile.TemporaryFile() as log:
        place = ("--host", "127.0.0.1", "--port", str(port))
        server = start(*SERVER, *place, output=log, **TEMPORARY)
        try:
            wait_for(f"{url}/health", server, log)
            ended = "it was this command's own, and has ended"
            with temporary_settings({PREFECT_API_URL: url}), naming_server(ended):
                yield
        finally:
            hand_over()
            server.terminate()
            server.wait()


def hand_over() -> bool:
    """Send what Prefect still holds back; say whether all of it went out.

    With its server gone, Prefect would try to for minutes, and Python wait for it.
    """
    left = [worker.drain_all(timeout=ANSWER_S) for worker in (APILogWorker, EventsWorker)]
    return not any(waiting for _, waiting in left)  # type: ignore[misc]


def wait_for_answer(away_s: float) -> None:
    """Wait, aloud, until the server that is set answers.

    Raises:
        PipelineError: it does not within `away_s`, or is no server for us: see check_answer.
    """
    insist(check_answer, Event(), _tell, away_s, RETRY_S)


def check_answer() -> None:
    """See that the server which is set answers, and goes with the Prefect that is installed.

    Prefect itself asks for the version as the first run begins, and ends it with a traceback where
    it gets no answer.

    Raises:
        AwayError: it does not answer; it may, a little later.
        PipelineError: something else answers there, or another Prefect.
    """
    with ask() as client:
        try:
            client.hello()
            client.raise_for_api_version_mismatch_once()
        except (RuntimeError, httpx.HTTPError) as error:
            cause = error.__cause__ if isinstance(error, RuntimeError) else error
            if not isinstance(cause, Exception):
                way_out = "install the server's version, or unset PREFECT_API_URL"
                raise PipelineError(f"{client.api_url}: {error} {way_out}") from None
            kind = AwayError if is_passing(cause) else PipelineError
            raise kind(describe_absence(cause)) from None


def _tell(words: str) -> None:
    print(words, file=sys.stderr)


def find_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def is_taken(port: int) -> bool:
    """Say whether something on this machine listens at a port."""
    with socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(url: str, server: subprocess.Popen[Any], log: Any = None) -> None:
    """Wait until a server that was started answers.

    Raises:
        PipelineError: it ended instead, with the last that it said; or it takes too long.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(url, timeout=2, trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    why = find_last_error(log) if log else "see above"
    raise PipelineError(f"no Prefect server could be started ({why}); its home is {find_home()}")


def find_last_error(log: Any) -> str:
    """Return the last line of a log that looks like an exception's."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if "Error: " in line and not line.startswith(" ")]
    return errors[-1] if errors else f"no answer within {START_S:.0f} s"
