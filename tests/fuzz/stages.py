"""The stages of a project as its dvc.yaml has them, read without DVC."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vision.base.params import get_value, read_params, read_yaml


@dataclass(frozen=True)
class Stage:
    name: str
    cmd: str
    deps: tuple[str, ...]
    params: dict[str, Any]  # values by key
    outs: tuple[str, ...]


def read_stages(project: Path) -> list[Stage]:
    """Return all stages and their members, in dvc.yaml's order, which is one to run in."""
    params = read_params(project / "params.yaml")
    stages = []
    for name, entry in read_yaml(project / "dvc.yaml")["stages"].items():
        if "foreach" in entry:
            for key, item in get_value(params, entry["foreach"][2:-1]).items():
                text = json.dumps(entry["do"]).replace("${key}", key)
                for field, value in item.items():
                    text = text.replace(f"${{item.{field}}}", str(value))
                stages.append(_read(f"{name}@{key}", json.loads(text), params))
            continue
        if "matrix" not in entry:
            stages.append(_read(name, entry, params))
            continue
        for model in get_value(params, entry["matrix"]["model"][2:-1]):
            filled = json.loads(json.dumps(entry).replace("${item.model}", model))
            stages.append(_read(f"{name}@{model}", filled, params))
    return stages


def _read(name: str, entry: dict[str, Any], params: dict[str, Any]) -> Stage:
    listed = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in listed]
    values = {key: get_value(params, key) for key in entry["params"]}
    deps = [dep.replace("${data.source}", params["data"]["source"]) for dep in entry["deps"]]
    return Stage(name, entry["cmd"], tuple(deps), values, tuple(outs))


def list_files(project: Path, paths: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Return the MD5 of each file that is at a path or below it."""
    found = {}
    for path in paths:
        place = project / path
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        found |= {str(file.relative_to(project)): md5(file) for file in files if file.is_file()}
    return found


def md5(path: Path) -> str:
    """Return the MD5 of a file, or `missing`."""
    if not path.is_file():
        return "missing"
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, *state: int) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
