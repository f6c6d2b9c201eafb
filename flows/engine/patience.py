"""Patience with what is away: a remote or a server may be there again in minutes."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vision.base.errors import PipelineError

T = TypeVar("T")
Tell = Callable[[str], None]
AWAY_S, RETRY_S = 300.0, 5.0  # for which what is away is waited for, between tries
RESULT_S = 1800.0  # for which a result waits for the remote


class AwayError(PipelineError):
    """A remote cannot be reached; it may be, later."""


def is_away(error: Exception) -> bool:
    return isinstance(error, AwayError)


def is_for_someone(error: Exception) -> bool:
    """Say whether someone may see to what keeps a result here, such as a remote that is full."""
    return isinstance(error, PipelineError)


def insist(
    step: Callable[[], T],
    stop: threading.Event,
    tell: Tell = lambda _: None,
    away_s: float | None = None,
    retry_s: float | None = None,
    may_pass: Callable[[Exception], bool] = is_away,
) -> T:
    """Return what a step gives, which is tried again while what it needs is away.

    Args:
        tell: called with why, each time that it is another reason.
        away_s: for which what is away is waited for; None: AWAY_S.
        retry_s: between tries; None: RETRY_S.
        may_pass: says of an error whether it may be gone a little later.

    Raises:
        Exception: one that may not pass, or that lasts for `away_s`, or until `stop` is set.
    """
    deadline, told = time.monotonic() + (AWAY_S if away_s is None else away_s), ""
    while True:
        try:
            return step()
        except Exception as error:
            if not may_pass(error):
                raise
            if str(error) != told:
                tell(f"{error}: trying again")
            told = str(error)
            if time.monotonic() > deadline or stop.wait(RETRY_S if retry_s is None else retry_s):
                raise
