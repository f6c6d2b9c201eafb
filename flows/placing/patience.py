"""Patience with a remote that is away: what it is to give or to take is worth more than minutes."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vision.base.errors import PipelineError

T = TypeVar("T")
Tell = Callable[[str], None]
AWAY_S, RETRY_S = 300.0, 5.0  # for which a remote that is away is waited for, between tries


class AwayError(PipelineError):
    """The remote cannot be reached; it may be, later."""


def insist(
    step: Callable[[], T],
    stop: threading.Event,
    tell: Tell,
    away_s: float = AWAY_S,
    on: type[PipelineError] = AwayError,
) -> T:
    """Return what a step gives, which is tried again while the remote is away.

    Args:
        tell: called with why, each time that it is another reason.
        on: what is waited for; a PipelineError of any kind where someone may see to it meanwhile.

    Raises:
        PipelineError: it is away for `away_s`, or `stop` is set meanwhile.
    """
    deadline, told = time.monotonic() + away_s, ""
    while True:
        try:
            return step()
        except on as error:
            if str(error) != told:
                tell(f"{error}: trying again")
            told = str(error)
            if time.monotonic() > deadline or stop.wait(RETRY_S):
                raise
