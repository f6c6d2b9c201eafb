"""What dvc.yaml declares for a stage, and hashes of it."""

from pathlib import Path
from typing import NamedTuple

from vision.base.fingerprint import digest_path, digest_value
from vision.base.params import get_value, read_params, read_yaml

DVC_FILE = Path("dvc.yaml")


class Declared(NamedTuple):
    deps: list[str]
    params: list[str]  # keys of params.yaml
    outs: list[str]  # metrics and plots included


def read_declared(stage: str, name: str = "") -> Declared:
    """Return what dvc.yaml declares for a stage, or for the member of its matrix with a name."""
    entry = read_yaml(DVC_FILE)["stages"][stage]
    parts = (
        entry.get("deps", []),
        entry.get("params", []),
        [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])],
    )
    return Declared(*([_fill(item, name) for item in part] for part in parts))


def _fill(item: str | dict[str, object], name: str) -> str:
    text = item if isinstance(item, str) else next(iter(item))  # {path: options}
    return text.replace("${item.model}", name)


def fingerprint(stage: str, name: str = "") -> dict[str, str]:
    """Return a hash of each dep, as dvc.lock has it, and of each param of a stage."""
    declared, params = read_declared(stage, name), read_params()
    hashes = {dep: digest_path(Path(dep)) for dep in declared.deps}
    return hashes | {key: digest_value(get_value(params, key)) for key in declared.params}
