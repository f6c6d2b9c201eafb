"""What dvc.yaml declares for a stage, and hashes of it."""

import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vision.base.fingerprint import digest_path, digest_value, sketch_path
from vision.base.params import get_value, read_params, read_yaml

DVC_FILE = Path("dvc.yaml")
FIELD = re.compile(r"\$\{([^}]+)\}")  # ${data.source}


class Declared(NamedTuple):
    deps: list[str]
    params: list[str]  # keys of params.yaml
    outs: list[str]  # metrics and plots included
    sources: list[str]  # the deps whose paths come from params.yaml: the user's own files


def read_declared(stage: str, name: str = "") -> Declared:
    """Return what dvc.yaml declares for a stage, or for the member of its matrix with a name."""
    entry, params = read_yaml(DVC_FILE)["stages"][stage], read_params()
    deps = entry.get("deps", [])
    parts = (
        deps,
        entry.get("params", []),
        [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])],
        [dep for dep in deps if FIELD.search(dep) and "${item." not in dep],
    )
    fill = partial(_fill, params={"item": {"model": name}} | params)
    return Declared(*([fill(item) for item in part] for part in parts))


def _fill(item: str | dict[str, object], params: dict[str, Any]) -> str:
    text = item if isinstance(item, str) else next(iter(item))  # {path: options}
    return FIELD.sub(lambda field: str(get_value(params, field[1])), text)


def fingerprint(stage: str, name: str = "") -> dict[str, str]:
    """Return a hash of each dep, as dvc.lock has it, and of each param of a stage.

    Of the user's own files, which may be many, the sizes and times are enough to see a change.
    """
    declared, params = read_declared(stage, name), read_params()
    hashes = {
        dep: (sketch_path if dep in declared.sources else digest_path)(Path(dep))
        for dep in declared.deps
    }
    return hashes | {key: digest_value(get_value(params, key)) for key in declared.params}
