"""When and from what a page was made: for its foot alone, since equal inputs give another date."""

import os
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

PACKAGE = "traceable-image-classifier"
CODE = ("vision", "stages", "dvc.yaml", "params.yaml")


def describe_making() -> str:
    """Return date, version and commit; the date is SOURCE_DATE_EPOCH where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    date = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return f"Made on {date:%Y-%m-%d at %H:%M} UTC{_describe_version()}{_describe_commit()}."


def _describe_version() -> str:
    try:
        return f" by {PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return ""


def _describe_commit() -> str:
    """Name the commit whose code and params these are; nothing where git knows of none."""
    commit = _ask_git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    changed = _ask_git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    return f" from commit {commit}{', with changes that are not committed' if changed else ''}"


def _ask_git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
