"""The code of a stage goes by git's remote, or in a bundle that needs nothing on the other side."""

from pathlib import Path

import pytest

from flows.placing.objects import open_store
from flows.placing.orders import Order
from flows.placing.trees import bring_tree, describe_way, drop_tree, send_tree
from tests.flows.toy import dvc, git
from vision.base.errors import PipelineError

REFERENCE = "refs/pipeline/run/train-slow"


@pytest.fixture
def home(new_toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a remote of DVC's and none of git's."""
    dvc(new_toy, "remote", "add", "--default", "store", "../store")
    monkeypatch.chdir(new_toy)
    return new_toy


@pytest.fixture
def stranger(new_toy: Path, tmp_path: Path) -> Path:
    """A clone that has no commit of ours, but the same store."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    git(folder, "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "--default", "store", "../store")
    return folder


def send(home: Path) -> Order:
    with open_store(home) as store:
        commit, bundled = send_tree(store, home, REFERENCE, lambda _: None)
    order = Order(stage="", reference=REFERENCE, commit=commit, entry={}, held=[], packages="")
    order.bundled = bundled
    return order


def test_a_bundle_takes_changed_and_new_code_to_a_clone_that_shares_no_history(
    home: Path, stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "stage.py").write_text("changed")
    (home / "new.py").write_text("new")
    before = git(home, "for-each-ref"), git(home, "status", "--porcelain")
    order = send(home)
    assert order.bundled
    assert (git(home, "for-each-ref"), git(home, "status", "--porcelain")) == before
    monkeypatch.chdir(stranger)
    bring_tree(order)
    assert git(stranger, "show", f"{order.commit}:stage.py") == "changed"
    assert git(stranger, "show", f"{order.commit}:new.py") == "new"
    assert git(stranger, "rev-list", "--count", order.commit) == "1\n"
    assert git(stranger, "for-each-ref") == ""
    with open_store(stranger) as store:
        drop_tree(store, order)
    assert not [*(home / "../store/trees").iterdir()]
    bring_tree(order)  # it is here


def test_a_bundle_that_is_damaged_or_gone_is_refused_in_one_line(
    home: Path, stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = send(home)
    [bundle] = (home / "../store/trees").iterdir()
    monkeypatch.chdir(stranger)
    bundle.write_bytes(bundle.read_bytes()[:-30])
    with pytest.raises(PipelineError, match=r"^git fetch: [^\n]+$"):
        bring_tree(order)
    bundle.unlink()
    with pytest.raises(
        PipelineError, match=r"store/trees has no run.train-slow.bundle: its sender"
    ):
        bring_tree(order)


def test_git_carries_the_code_where_its_remote_takes_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(home.parent, "clone", "--quiet", "--bare", str(home), "hub.git")
    git(home, "remote", "add", "origin", "../hub.git")
    assert describe_way() == "the code goes by git's remote origin"
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""  # nothing was sent
    order = send(home)
    assert not order.bundled
    assert REFERENCE in git(home, "ls-remote", "origin")
    monkeypatch.setenv("PIPELINE_TREES", "bundle")
    assert describe_way().endswith("beside the objects in DVC's remote (PIPELINE_TREES is bundle)")
    assert send(home).bundled


def test_a_remote_of_gits_that_takes_nothing_is_named_and_a_bundle_takes_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(home, "remote", "add", "origin", "/nowhere")
    assert "'/nowhere' does not appear to be a git repository" in describe_way()
    assert send(home).bundled
    monkeypatch.setenv("PIPELINE_TREES", "git")
    for step in (describe_way, lambda: send(home)):
        with pytest.raises(PipelineError, match="/nowhere"):
            step()
    monkeypatch.setenv("PIPELINE_TREES", "pigeon")
    with pytest.raises(PipelineError, match="PIPELINE_TREES is 'pigeon': set it to git or bundle"):
        describe_way()
