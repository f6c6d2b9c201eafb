"""What people do with a run of its own, on machines whose git and DVC have settings of their own.

One row is one machine: all of its settings at once.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flows import cli
from flows.commands import demo
from flows.commands.compare import compare
from flows.engine.overrides import parse_overrides
from flows.engine.plan import make_plan
from flows.engine.tree import remove_tree
from flows.orchestration.server import limit_gpu_stages
from flows.pipeline import pipeline
from tests.fake_results import write_tree
from tests.flows.commands.typed import type_pipeline
from tests.flows.toy import assert_nothing_is_left, dvc, git
from tests.projects import ROOT

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


@pytest.mark.usefixtures("warm_python")
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
        assert state.message.startswith("the remote /dev/null/store")
    assert see(project) == before
    assert not [*(project / ".dvc/tmp/trees").iterdir()]

    for key in ("INDEX_FILE", "DIR"):
        monkeypatch.delenv(f"GIT_{key}", raising=False)
    lock = yaml.safe_load(git(project, "show", "nightly:./dvc.lock"))
    (recorded,) = lock["stages"]["fetch"]["deps"]
    published = git(project, "show", "nightly:./stage.py")
    assert hashlib.md5(published.encode()).hexdigest() == recorded["md5"]
    assert git(project, "show", "nightly:./extra.py") == "# new\n"

    dvc(project, "exp", "apply", "x")
    assert "0.01" in (project / "report.txt").read_text()
    assert_a_demo_has_its_tree_in_the_project(project, monkeypatch)
    commit_results(project)
    assert compare("HEAD", "workspace", project / "comparison") == 0
    assert "HEAD" in (project / "comparison/report.html").read_text()
    assert not [*(project / ".dvc/tmp/compared").iterdir()]


def assert_a_demo_has_its_tree_in_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = git(project, "rev-parse", "--show-prefix").strip()
    monkeypatch.setattr(demo, "OVERRIDES", {"report.seconds": 0.02})
    Path("docs").mkdir()
    monkeypatch.chdir("docs")
    with pytest.raises(typer.Exit) as ended:
        cli.demo()
    assert ended.value.exit_code == 0
    assert "0.02" in Path("demo", inside, "report.txt").read_text()
    remove_tree(Path("demo"))


def commit_results(project: Path) -> None:
    """Commit results, then change them; they lie in git, for some whose parts DVC keeps."""
    write_tree(project, models={"two-layer-fc": 0.5})
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "Results")):
        git(project, "-c", "core.hooksPath=/dev/null", *words)
    write_tree(project, models={"two-layer-fc": 0.7})


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others can reach; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


NAMELESS = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
RIGHTS = "+dac_override,+dac_read_search"  # to read our Python, wherever it is
NAMES = ("USER", "LOGNAME", "LNAME", "USERNAME", "PREFECT_HOME")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root")
def test_a_user_without_a_name_and_a_home_runs_behind_a_proxy_without_a_server(
    finished: Path, open_folder: Path
) -> None:
    """As in a container, on a platform that has its own WORLD_SIZE."""
    become = ("env", *(f"--unset={name}" for name in NAMES), *NAMELESS)
    become += (f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}")
    around = {"HOME": "/proc", "WORLD_SIZE": "1", "PREFECT_API_URL": "", "NO_PROXY": ""}
    toy = Path(shutil.copytree(finished, open_folder / "toy"))
    give(toy, 54321)
    planned = type_pipeline(toy, "plan", "-S", CHANGE, become=become, **around)
    options = ("--name", "x", "--publish", "nightly")
    ran = type_pipeline(toy, "run", "-S", CHANGE, *options, become=become, **around)
    assert planned.process.wait(60) == 0
    assert "1 of 6 stages run" in planned.read()
    assert ran.process.wait(180) == 0, ran.read()
    assert "/proc/.prefect cannot be written: Prefect keeps its records in .dvc/tmp" in ran.read()
    assert "1 of 6 stages ran: report" in ran.read()
    assert (toy / ".dvc/tmp/prefect/prefect.db").stat().st_uid == 54321
    assert_nothing_is_left(toy)
    again = type_pipeline(toy, "run", become=become, **around)
    assert again.process.wait(60) == 0
    assert "0 of 6 stages ran: all is current" in again.read()
    apply = [*become, sys.executable, "-m", "dvc", "exp", "apply", "x"]
    subprocess.run(apply, cwd=toy, env=os.environ | around, check=True)
    assert "0.01" in (toy / "report.txt").read_text()
    give(toy, 0)
    assert CHANGE.partition("=")[2] in git(toy, "show", "nightly:./params.yaml")
    commit_results(toy)
    give(toy, 54321)
    compared = type_pipeline(toy, "compare", "HEAD", become=become, **around)
    assert compared.process.wait(120) == 0, compared.read()
    assert "HEAD" in (toy / "comparison/report.html").read_text()


def give(folder: Path, user: int) -> None:
    """Make a folder, with all in it, a user's own."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def see(project: Path) -> tuple[str, bytes, str]:
    """Return what must not change: the files as git sees them, the index, the worktrees."""
    with pytest.MonkeyPatch.context() as patch:
        for key in ("INDEX_FILE", "DIR"):
            patch.delenv(f"GIT_{key}", raising=False)
        status = git(project, "--no-optional-locks", "status", "--porcelain", "-uall")
        index = project / git(project, "rev-parse", "--git-path", "index").strip()
        return status, index.read_bytes(), git(project, "worktree", "list")


def test_another_clones_line_ends_are_those_that_dvc_hashed(tmp_path: Path) -> None:
    windows = ("-c", "core.autocrlf=true", "-c", "core.eol=crlf")
    git(ROOT, *windows, "checkout-index", f"--prefix={tmp_path}/", "dvc.yaml", "stages/split.py")
    for name in ("dvc.yaml", "stages/split.py"):
        assert b"\r" not in (tmp_path / name).read_bytes()
