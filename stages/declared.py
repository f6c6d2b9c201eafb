"""What dvc.yaml declares for a stage, and hashes of it."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from vision.base.errors import ParamsError
from vision.base.fingerprint import digest_path, digest_value, sketch_path
from vision.base.params import get_value, list_stages, read_params, read_yaml

DVC_FILE = Path("dvc.yaml")
FOREACH = "foreach"  # key of a stage that runs once for each item of a mapping
FIELD = re.compile(r"\$\{([^}]+)\}")  # ${data.source}


class Declared(NamedTuple):
    deps: list[str]
    params: list[str]  # keys of params.yaml
    outs: list[str]  # metrics and plots included
    sources: list[str]  # the deps whose paths come from params.yaml: the user's own files
    keeps: bool  # its outs are kept, and brought back where the same would be computed again


def read_declared(stage: str, name: str = "") -> Declared:
    """Return what dvc.yaml declares for a stage, or for the member with a name of those it has.

    Raises:
        ParamsError: dvc.yaml has no such stage, or cannot be read.
    """
    entry, params = read_stage(stage), read_params()
    params |= {"key": name, "item": _find_item(entry, name, params)}
    deps = entry.get("deps", [])

    def fill(texts: list[str]) -> list[str]:
        return [FIELD.sub(lambda field: str(get_value(params, field[1])), text) for text in texts]

    return Declared(
        deps=fill(deps),
        params=fill(entry.get("params", [])),
        outs=fill(list_outs(entry)),
        sources=fill([dep for dep in deps if FIELD.search(dep) and "${item." not in dep]),
        keeps=bool(entry.get("meta", {}).get("keeps")),
    )


def _find_item(entry: dict[str, Any], name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return what `${item...}` stands for: in a matrix a name, in a foreach its values."""
    if not name or FOREACH not in entry:
        return {"model": name}
    field = FIELD.fullmatch(entry[FOREACH])
    item = get_value(params, f"{field[1] if field else ''}.{name}")
    return dict(item) if isinstance(item, dict) else {}


def has_members(stage: str) -> bool:
    """Say whether a stage runs once for each of several names."""
    return not {FOREACH, "matrix"}.isdisjoint(read_stage(stage))


def read_stage(stage: str) -> dict[str, Any]:
    """Return a stage as dvc.yaml has it; what it says for each member of a foreach, with that.

    Raises:
        ParamsError: dvc.yaml has no such stage, or cannot be read.
    """
    stages = list_stages(read_yaml(DVC_FILE))
    if stage not in stages:
        raise ParamsError(
            f"{DVC_FILE} has no stage {stage!r}; it has {', '.join(stages) or 'none'}"
        )
    return stages[stage]


def list_outs(entry: dict[str, Any]) -> list[str]:
    """Return the paths of a stage's outs, as they are written."""
    outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]  # {path: options}


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
