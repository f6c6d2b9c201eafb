"""What is checked before the first stage runs, without asking DVC or Prefect anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.engine.merges import check_merged
from flows.engine.overrides import apply_overrides
from flows.engine.settings import check_params
from vision.base.errors import ParamsError
from vision.base.params import PARAMS_FILE, list_stages, read_params, read_yaml

DVC_FILE = Path("dvc.yaml")


def check_run(
    root: Path,
    targets: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
) -> None:
    """See that a run's params fit their schemas and each other, and that its stages are there.

    Raises:
        PipelineError: with a line for each thing that is wrong.
    """
    check_merged(root)
    params = read_params(root / PARAMS_FILE)
    apply_overrides(params, overrides or {})
    check_params(params, root)
    check_targets(root, targets)
    check_count("jobs", jobs)


def check_targets(root: Path, targets: Sequence[str]) -> None:
    """Raise ParamsError unless dvc.yaml has the stage of each target."""
    names = list(list_stages(read_yaml(root / DVC_FILE))) if targets else []
    for target in targets:
        if target.partition("@")[0] not in names:
            raise ParamsError(f"there is no stage {target!r}; there are {', '.join(names)}")


def check_count(name: str, count: int | None) -> None:
    """Raise ParamsError for a number of things that is below one."""
    if count is not None and count < 1:
        raise ParamsError(f"{name} is {count}: give 1 or more")
