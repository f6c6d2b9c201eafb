"""End a flow whose user can mend what is wrong in one line, not in a traceback."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.engine.project import describe_error
from vision.base.errors import PipelineError

P = ParamSpec("P")


def in_one_line(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """Let a flow end as failed, with the error's own words, where it raises an error of ours."""

    @wraps(function)
    def tell(*args: P.args, **options: P.kwargs) -> State[Any]:
        try:
            return function(*args, **options)
        except (PipelineError, OSError) as error:
            if isinstance(error, OSError) and error.filename is None:  # a fault of ours
                raise
            return Failed(message="; ".join(describe_error(error).splitlines()))

    return tell
