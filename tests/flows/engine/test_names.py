"""Names and branches that a run is refused, before anything runs; on a real repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.engine.names import check_free, hold_name, is_running
from flows.upkeep.repository import check_git
from tests.flows.toy import git
from vision.base.errors import PipelineError


@pytest.fixture
def repo(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, out of reach of this user's settings."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(workspace, "init", "--quiet", "--initial-branch", "main")
    for key in ("user.name", "user.email"):
        git(workspace, "config", key, "test@example.org")
    git(workspace, "commit", "--quiet", "--allow-empty", "--message", "Start")
    return workspace


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize("name", ["a b", "../../x", "x/y", "-x", "a..b", "x.lock", ".", ""])
def test_a_name_that_git_or_a_path_would_misread_is_refused(name: str) -> None:
    with pytest.raises(PipelineError, match="is no name that git and DVC take"):
        check_free(name)


@pytest.mark.parametrize("branch", ["my branch", "-d", "a~1", "@{-1}", "HEAD^"])
def test_a_branch_that_git_would_not_make_is_refused(repo: Path, branch: str) -> None:
    with pytest.raises(PipelineError, match="is no name of a branch: write it without blanks"):
        check_free(publish=branch)


def test_a_branch_that_any_worktree_has_checked_out_is_refused(repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "-b", "other", str(repo / "linked"))
    for branch, folder in (("main", repo), ("other", repo / "linked")):
        with pytest.raises(PipelineError, match=f"^{branch} is checked out in {folder}, and"):
            check_free(publish=branch)
    check_free(publish="nightly")
    assert git(repo, "branch", "--list", "nightly") == ""


def test_a_branch_below_another_is_refused_in_gits_words(repo: Path) -> None:
    git(repo, "branch", "nightly")
    with pytest.raises(PipelineError, match="'refs/heads/nightly' exists; cannot create"):
        check_free(publish="nightly/x")


def test_an_experiment_is_replaced_only_when_told(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD").strip()
    git(repo, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/x", head)
    with pytest.raises(PipelineError, match="there is an experiment x: take another --name"):
        check_free("x")
    check_free("x", replace=True)
    check_free("y")


def test_a_name_is_held_while_its_process_lives(repo: Path) -> None:
    hold = "with names.hold_name('x'):\n    print(flush=True)\n    time.sleep(60)"
    code = f"import time\nfrom flows.engine import names\n{hold}"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        run.stdout.readline()
        assert is_running("x")
        for attempt in (lambda: check_free("x"), hold_name("x").__enter__):
            with pytest.raises(PipelineError, match="a run named x is at work"):
                attempt()
        run.kill()
        run.wait()
    assert not is_running("x")
    check_free("x")


def test_what_keeps_git_from_working_is_one_line_with_the_way_out(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "config", "--unset", "user.email")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "")
    said = [_refuse()]
    shutil.rmtree(repo / ".git")
    git(repo, "init", "--quiet")
    said.append(_refuse())
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    os.chown(repo / ".git", 54321, 54321)
    os.chown(repo, 54321, 54321)
    said.append(_refuse())
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    shutil.rmtree(repo / ".git")
    said.append(_refuse())
    monkeypatch.setenv("PATH", "/nowhere")
    said.append(_refuse())
    words = [
        "git does not know who commits: git config user.name",
        "the repository has no commit yet: git add",
        "git config --global --add safe.directory",
        "not a git repository (or any",  # of its parents, or up to where a disk is mounted
        "there is no git on the PATH",
    ]
    assert [word in line for word, line in zip(words, said, strict=True)] == [True] * 5, said
    assert not any("\n" in line for line in said)


def _refuse() -> str:
    """Return how a run is refused; `pipeline doctor` says the same."""
    with pytest.raises(PipelineError) as caught:
        check_free()
    assert str(caught.value) in " ".join(finding.text for finding in check_git(False))
    return str(caught.value)
