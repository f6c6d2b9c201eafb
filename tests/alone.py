"""Run a stage with what it declares, and with nothing else."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.projects import ROOT, SMALL, run
from vision.base.params import get_value, list_stages, read_params

STAGES = list_stages(yaml.safe_load((ROOT / "dvc.yaml").read_text()))
FOOT = re.compile(rb"<footer>.*</footer>", re.DOTALL)  # of the page: when and on which commit


def run_alone(name: str, model: str, project: Path, folder: Path) -> None:
    """Run a stage in a folder that has what it declares and nothing else; compare its outs."""
    params = read_params(project / "params.yaml")
    stage = fill(name, model, params)
    for dep in (dep.replace("${data.source}", SMALL["data.source"]) for dep in stage["deps"]):
        copy = shutil.copytree if (project / dep).is_dir() else shutil.copyfile
        (folder / dep).parent.mkdir(parents=True, exist_ok=True)
        copy(project / dep, folder / dep)  # type: ignore[operator]
    shutil.copyfile(project / "dvc.yaml", folder / "dvc.yaml")
    (folder / "params.yaml").write_text("{}")
    for key in stage["params"]:
        add_value(folder / "params.yaml", key, get_value(params, key))
    run(folder, *stage["cmd"].split())
    for out in list_outs(stage):
        if not out.startswith(("data/timings/", "data/costs/")):  # seconds differ, as they should
            assert hash_out(folder, out) == hash_out(project, out) != {}, (name, out)


def fill(name: str, model: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return what dvc.yaml says of a stage for one of its models."""
    text = json.dumps(STAGES[name]).replace("${item.model}", model).replace("${key}", model)
    if foreach := STAGES[name].get("foreach"):
        for field, value in get_value(params, foreach.strip("${}"))[model].items():
            text = text.replace(f"${{item.{field}}}", str(value))
    stage: dict[str, Any] = json.loads(text)
    return stage


def list_outs(stage: dict[str, Any]) -> list[str]:
    outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in outs]


def add_value(path: Path, key: str, value: Any) -> None:
    params = yaml.safe_load(path.read_text())
    *sections, last = key.split(".")
    here = params
    for section in sections:
        here = here.setdefault(section, {})
    here[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def hash_out(project: Path, out: str) -> dict[str, str]:
    """Return the sha256 of an out's file or files, by path."""
    path = project / out
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(project)): hashlib.sha256(FOOT.sub(b"", file.read_bytes())).hexdigest()
        for file in files
        if file.name != ".gitignore"
    }
