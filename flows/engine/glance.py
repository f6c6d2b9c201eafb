"""What can be said of people's own photos before they are all read: how large they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.engine.overrides import apply_overrides
from flows.engine.plan import PlannedStage
from vision.base.params import PARAMS_FILE, read_params
from vision.base.sections import check_section
from vision.schema.data import DataParams


def describe_sizes(
    plan: Iterable[PlannedStage], overrides: Mapping[str, Any], root: Path = Path()
) -> list[str]:
    """Return a line if photos that are about to be stored are far larger than what is stored."""
    params = read_params(root / PARAMS_FILE)
    if "data" not in params or not any((s.name, s.verdict) == ("download", "run") for s in plan):
        return []
    from vision.data.described import is_description  # what reads images takes a moment to load
    from vision.data.glances import glance_side_px
    from vision.data.surveys import describe_reduction

    apply_overrides(params, overrides)
    data = check_section("data", params["data"], DataParams)
    if is_description(path := data.locate(root)):
        return []
    return describe_reduction(glance_side_px(path) or 0, data.image_px)
