"""Look for what would stop a run, and say the way out."""

import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError
from rich.console import Console
from rich.markup import escape

from flows.engine.dvc_settings import keep_site_cache
from flows.engine.plan import make_plan
from flows.upkeep.cache import verify_cache
from flows.upkeep.findings import Finding, bad, good, mend, note
from flows.upkeep.locks import (
    check_git_lock,
    check_lock_file,
    check_repo_lock,
    check_rwlock,
    check_trees,
)
from flows.upkeep.records import check_server
from flows.upkeep.repository import check_git
from vision.base.errors import PipelineError

NEEDED_GB = 5
COLOURS = {"ok": "green", "bad": "red", "note": "yellow"}


def examine(fix: bool = False, verify: bool = False, repair: bool = False) -> int:
    """Print the findings and return 1 if one of them would stop a run.

    Args:
        fix: mend what can be mended.
        verify: hash all objects of DVC's cache again.
        repair: and drop those that are damaged.
    """
    checks: list[Callable[[bool], Iterator[Finding]]] = [
        check_machine,
        check_disk,
        check_git,
        check_site_cache,
        check_rwlock,
        check_repo_lock,
        check_git_lock,
        check_trees,
        check_lock_file,
        check_project,
        check_server,
    ]
    console = Console(highlight=False)
    worst = 0
    told = set[Finding]()  # what stops one check may stop the next
    for finding in chain(
        *(_ask(check, fix) for check in checks), verify_cache(repair) if verify or repair else ()
    ):
        if finding in told:
            continue
        told.add(finding)
        mark = f"[{COLOURS[finding.kind]}]{finding.kind:>4}[/]"
        console.print(f"{mark}  {escape(finding.text)}", soft_wrap=True)
        worst = max(worst, int(finding.kind == "bad"))
    return worst


def _ask(check: Callable[[bool], Iterator[Finding]], fix: bool) -> Iterator[Finding]:
    """Yield what a check finds; what keeps it from looking is a finding, too."""
    try:
        yield from check(fix)
    except (DvcException, PipelineError) as error:
        yield bad(" ".join(str(error).split()))


def check_machine(fix: bool) -> Iterator[Finding]:
    yield good(f"Python {sys.version.split()[0]}, torch {torch.__version__}")
    if torch.cuda.is_available():
        yield good(f"GPU: {torch.cuda.get_device_name()}")
    else:
        yield note(f"no GPU: training takes the CPU, {torch.get_num_threads()} threads")


def check_disk(fix: bool) -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / 1e9
    text = f"{free:.0f} GB free on the disk of this folder"
    enough = free > NEEDED_GB
    yield good(text) if enough else bad(f"{text}: make room, {NEEDED_GB} are needed")


def check_site_cache(fix: bool) -> Iterator[Finding]:
    """See that no one else can write where DVC keeps its index, which it unpickles."""
    try:
        with Repo() as repo:
            folder = Path(repo.site_cache_dir)
    except SCMError:  # check_git says why
        return
    if not is_exposed(folder):
        return
    yield mend(
        fix,
        partial(keep_site_cache, Path()),
        "DVC's index moves to .dvc/tmp/site, which is yours alone",
        f"DVC unpickles its index from {folder}, where anyone may write: "
        "pipeline doctor --fix moves it to .dvc/tmp/site",
    )


def is_exposed(folder: Path) -> bool:
    """Say whether others can put files of theirs in a folder, or another folder in its place."""
    for path in reversed([folder, *folder.parents]):
        mode = path.stat().st_mode
        if not mode & stat.S_IXOTH:  # no way further down for others
            return False
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return True
    return False


def check_project(fix: bool) -> Iterator[Finding]:
    try:
        plan = make_plan(Path())
    except PipelineError as error:
        yield from map(bad, str(error).splitlines())
        return
    stale = sum(stage.verdict != "cached" for stage in plan)
    yield good(f"{len(plan)} stages, {stale} not up to date (pipeline plan says why)")
