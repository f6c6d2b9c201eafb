"""The marks that a merge leaves in a file where both sides changed it."""

import re
from pathlib import Path

from vision.base.errors import PipelineError

MARK = re.compile(rb"^(<{7}|>{7})( |$)", re.MULTILINE)
FILES = (Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock"))


def check_merged(root: Path = Path()) -> None:
    """Raise PipelineError, naming file and line, if one of FILES has marks of a merge."""
    for name in FILES:
        path = root / name
        if path.is_file() and (said := describe_marks(name, path.read_bytes())):
            raise PipelineError(said)


def describe_marks(name: Path, content: bytes) -> str:
    """Say where a file has marks of a merge, and the way out; "" where it has none."""
    if not (mark := MARK.search(content)):
        return ""
    line = content.count(b"\n", 0, mark.start()) + 1
    way_out = f"keep one side by hand, or with git checkout --ours {name} (or --theirs)"
    return f"{name} has marks of a merge in line {line}: {way_out}"
