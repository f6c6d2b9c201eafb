"""Run a stage the same way by hand and under DVC: one line for an error, a check for changes.

DVC records code, params and inputs as they are when a command ends. A stage whose files were
edited while it ran would be recorded against the wrong ones, so it fails instead.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from vision.errors import ChangedError, ParamsError, PipelineError
from vision.files import sha256_of
from vision.params import check_name, get_value, read_params

DVC_FILE = Path("dvc.yaml")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_stage(stage: str, main: Callable[..., None], arguments: list[str]) -> int:
    """Call `main` with the command's arguments and return the exit status.

    Args:
        stage: the stage's name in dvc.yaml, without the matrix member.
        main: takes as many names as the stage's matrix has axes: none or one.
        arguments: the command line after the module's name.
    """
    try:
        if len(arguments) != (wanted := main.__code__.co_argcount):
            usage = "one name" if wanted else "no arguments"
            raise ParamsError(f"{stage} takes {usage}, not {' '.join(arguments) or 'none'!r}")
        names = [check_name(name) for name in arguments]
        before = fingerprint(stage, *names)
        main(*names)
        check_unchanged(stage, before, fingerprint(stage, *names))
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{stage} was interrupted; nothing half-written is left", file=sys.stderr)
        return INTERRUPTED
    return 0


def fingerprint(stage: str, name: str = "") -> dict[str, str]:
    """Return the sha256 of each dep and each param that dvc.yaml declares for a stage."""
    text = DVC_FILE.read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["stages"][stage]
    declared = declared if "cmd" in declared else declared["do"]
    paths = [Path(dep.replace("${item.model}", name)) for dep in declared.get("deps", [])]
    keys = [key.replace("${item.model}", name) for key in declared.get("params", [])]
    params = read_params()
    hashes = {str(path): _hash_path(path) for path in paths}
    return hashes | {key: _hash_value(get_value(params, key)) for key in keys}


def check_unchanged(stage: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Raise ChangedError if any fingerprint differs, naming what changed."""
    changed = sorted(key for key in before | after if before.get(key) != after.get(key))
    if changed:
        raise ChangedError(f"{', '.join(changed)} changed while {stage} was running: run it again")


def _hash_path(path: Path) -> str:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return _hash_value({str(file): sha256_of(file) for file in files})
    return sha256_of(path) if path.exists() else "missing"


def _hash_value(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
