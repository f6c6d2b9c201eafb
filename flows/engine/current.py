"""Whether a run has anything to do: asked before a Prefect server is started for it."""

import os
from collections.abc import Sequence
from pathlib import Path

from flows.engine.plan import find_stale, make_plan
from flows.engine.prefect_home import find_home
from vision.base.errors import PipelineError

PROFILES = "profiles.toml"  # where `prefect config set` keeps settings
URL = "PREFECT_API_URL"


def say_current(targets: Sequence[str]) -> str:
    """Say that all is current, plan and DVC agreeing; or nothing.

    With a server of one's own a run is to be found in its records, also if it does nothing.
    """
    if _is_set():
        return ""
    plan = make_plan(Path(), tuple(targets))
    if any(stage.verdict != "cached" for stage in plan):
        return ""
    try:
        if find_stale(Path(), [stage.name for stage in plan]):
            return ""
    except PipelineError:  # DVC is at work here: a run waits for it
        return ""
    return f"0 of {len(plan)} stages ran: all is current, says DVC (no Prefect server was needed)"


def _is_set() -> bool:
    """Say whether runs are recorded by a server that is there anyway."""
    profiles = find_home() / PROFILES
    return bool(os.environ.get(URL)) or (profiles.is_file() and URL in profiles.read_text())
