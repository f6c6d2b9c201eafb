"""What people do with a run of its own, on machines whose git and DVC have settings of their own.

One row is one machine: all of its settings at once.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.engine.overrides import parse_overrides
from flows.engine.plan import make_plan
from flows.engine.tree import check_out, remove_tree, run_dvc
from flows.orchestration.server import limit_gpu_stages
from flows.pipeline import pipeline
from tests.flows.toy import dvc, git

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]

CHANGE = "report.seconds=0.01"
SETTINGS = {
    "user.name": "test",
    "user.email": "test@example.org",
    "diff.noprefix": "true",
    "diff.context": "0",
    "diff.external": "true",
    "color.ui": "always",
    "core.autocrlf": "true",
    "status.showUntrackedFiles": "no",
}
HOOKS = ("post-checkout", "pre-commit", "post-commit", "post-index-change", "reference-transaction")


def clone_shallow(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shallow clone with a detached head, below a path with a blank and an umlaut.

    Git has settings and hooks of every kind, and a commit hook has started us. The cache is
    shared, and the remote is in the local settings alone.
    """
    clone = project.with_name("Müllers Projekt")
    git(project, "clone", "--quiet", "--depth", "1", f"file://{project}", str(clone))
    git(clone, "checkout", "--quiet", "--detach")
    shutil.move(project / ".dvc/cache", project.with_name("shared"))
    dvc(clone, "cache", "dir", "--local", "../shared")
    dvc(clone, "remote", "add", "--local", "--default", "store", "../store")
    dvc(clone, "checkout", "--quiet")
    for key, value in SETTINGS.items():
        git(clone, "config", key, value)
    for name in HOOKS:
        hook = clone / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    around = {"EXTERNAL_DIFF": "true", "INDEX_FILE": ".git/next-index-7.lock", "DIR": ".git"}
    for key, value in around.items():
        monkeypatch.setenv(f"GIT_{key}", value)
    return clone


def link_worktree(project: Path, _: pytest.MonkeyPatch) -> Path:
    """A folder of a larger repository, in a linked worktree that takes the first one's cache.

    No remote can be reached.
    """
    inside = project / "ml"
    inside.mkdir()
    for path in [*project.iterdir()]:
        if path.name not in (".git", "ml"):
            path.rename(inside / path.name)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Move")
    linked = project.with_name("linked")
    git(project, "worktree", "add", "--quiet", "-b", "work", str(linked))
    dvc(linked / "ml", "cache", "dir", "--local", str(inside / ".dvc/cache"))
    dvc(linked / "ml", "remote", "add", "--local", "--default", "store", "/dev/null/store")
    dvc(linked / "ml", "checkout", "--quiet")
    return linked / "ml"


@pytest.mark.parametrize("make_machine", [clone_shallow, link_worktree])
def test_a_run_of_its_own_sees_what_its_user_sees_and_gives_back_what_it_found(
    make_machine: Callable[[Path, pytest.MonkeyPatch], Path],
    toy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_machine(toy, monkeypatch)
    monkeypatch.chdir(project)
    limit_gpu_stages(10)
    (project / "extra.py").write_text("# new\n")
    code = project / "stage.py"
    code.write_text(f"import extra\n{code.read_text()}")
    before = see(project)

    planned = make_plan(Path(), overrides=parse_overrides([CHANGE]))
    assert {stage.name for stage in planned if stage.verdict == "run"} == {"fetch", "report"}
    options: dict[str, Any] = {"set": [CHANGE], "name": "x", "publish": "nightly", "push": True}
    state: Any = pipeline(**options, return_state=True)
    if make_machine is clone_shallow:
        assert state.message == "2 of 6 stages ran: fetch, report"
        assert (project / "../store/files/md5").is_dir()
    else:
        assert state.message.startswith("dvc push --run-cache failed: ")
    assert see(project) == before
    assert not [*(project / ".dvc/tmp/trees").iterdir()]

    for key in ("INDEX_FILE", "DIR"):
        monkeypatch.delenv(f"GIT_{key}", raising=False)
    lock = yaml.safe_load(git(project, "show", "nightly:./dvc.lock"))
    (recorded,) = lock["stages"]["fetch"]["deps"]
    published = git(project, "show", "nightly:./stage.py")
    assert hashlib.md5(published.encode()).hexdigest() == recorded["md5"]
    assert git(project, "show", "nightly:./extra.py") == "# new\n"

    tree = check_out(project / ".dvc/tmp/compared", "x")
    run_dvc(tree, "checkout", "--quiet")
    assert "0.01" in (tree / "report.txt").read_text()
    remove_tree(project / ".dvc/tmp/compared")
    dvc(project, "exp", "apply", "x")
    assert "0.01" in (project / "report.txt").read_text()


def see(project: Path) -> tuple[str, bytes, str]:
    """Return what must not change: the files as git sees them, the index, the worktrees."""
    with pytest.MonkeyPatch.context() as patch:
        for key in ("INDEX_FILE", "DIR"):
            patch.delenv(f"GIT_{key}", raising=False)
        status = git(project, "--no-optional-locks", "status", "--porcelain", "-uall")
        index = project / git(project, "rev-parse", "--git-path", "index").strip()
        return status, index.read_bytes(), git(project, "worktree", "list")
