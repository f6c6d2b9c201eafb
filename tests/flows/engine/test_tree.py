import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.config import Config

from flows.engine.dvc_settings import keep_site_cache
from flows.engine.names import check_free
from flows.engine.overrides import set_params
from flows.engine.tree import (
    bring_downloads,
    bring_source,
    bring_weights,
    list_uncommitted,
    make_environment,
    make_tree,
    publish,
    remove_tree,
)
from flows.upkeep.repository import check_git
from tests.projects import ROOT
from tests.vision.data.pictures import RED, write_folder
from vision.base.errors import ParamsError, PipelineError
from vision.models.weights import OWN_DIR

AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def repo(workspace: Path) -> Path:
    """A committed DVC project with one tracked file."""
    git("init", "--quiet")
    git("config", "user.name", "test")
    git("config", "user.email", "test@example.org")
    (workspace / ".dvc").mkdir()
    (workspace / ".dvc/config").touch()
    (workspace / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (workspace / ".gitignore").write_text("/tree/\n")
    (workspace / "params.yaml").write_text("seed: 0\ndata: {source: sources/cifar10.yaml}\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Start")
    return workspace


def test_a_tree_has_the_changes_that_are_not_committed(repo: Path) -> None:
    (repo / "params.yaml").write_text("seed: 5\n")
    make_tree(Path("tree"))
    assert (repo / "tree/params.yaml").read_text() == "seed: 5\n"


def test_a_tree_shares_the_cache(repo: Path) -> None:
    make_tree(Path("tree"))
    assert Config(str(repo / "tree/.dvc"))["cache"]["dir"] == str(repo / ".dvc/cache")


@pytest.mark.usefixtures("repo")
def test_a_tree_leaves_git_status_clean() -> None:
    make_tree(Path("tree"))
    assert git("status", "--porcelain") == ""


def test_a_tree_can_be_made_again(repo: Path) -> None:
    make_tree(Path("tree"))
    (repo / "tree/left-over").touch()
    make_tree(Path("tree"))
    assert not (repo / "tree/left-over").exists()


def test_a_folder_of_the_users_is_not_removed(repo: Path) -> None:
    (repo / "tree").mkdir()
    (repo / "tree/thesis.txt").touch()
    with pytest.raises(PipelineError, match="tree is in the way"):
        remove_tree(Path("tree"))
    assert (repo / "tree/thesis.txt").exists()


def test_overrides_touch_the_tree_alone(repo: Path) -> None:
    make_tree(Path("tree"))
    set_params(Path("tree"), {"data.source": "sources/digits.yaml", "seed": 3})
    params = yaml.safe_load((repo / "tree/params.yaml").read_text())
    assert params == {"seed": 3, "data": {"source": "sources/digits.yaml"}}
    assert "cifar10" in (repo / "params.yaml").read_text()


def test_a_tree_has_the_photos_that_git_does_not_keep(repo: Path) -> None:
    write_folder(repo / "photos", {"cats/1.png": RED})
    set_params(repo, {"data.source": "photos"})
    make_tree(Path("tree"))
    bring_source(Path("tree"), repo)
    assert (repo / "tree/photos/cats/1.png").read_bytes() == RED
    remove_tree(Path("tree"))
    assert (repo / "photos/cats/1.png").exists()


def test_photos_beside_the_project_need_their_full_path_in_a_tree(repo: Path) -> None:
    write_folder(repo.parent / "photos", {"cats/1.png": RED})
    set_params(repo, {"data.source": "../photos"})
    make_tree(Path("tree"))
    with pytest.raises(PipelineError, match=str(repo.parent / "photos")):
        bring_source(Path("tree"), repo)


@pytest.mark.usefixtures("repo")
def test_an_override_of_an_unknown_key_is_refused() -> None:
    make_tree(Path("tree"))
    with pytest.raises(ParamsError, match=r"data\.sauce is missing: data has source"):
        set_params(Path("tree"), {"data.sauce": "digits"})


def test_a_tree_that_could_not_be_made_is_removed(repo: Path) -> None:
    git("rm", "--quiet", "-r", "--cached", ".dvc")
    git("commit", "--quiet", "--message", "No DVC")
    git("config", "core.excludesFile", str(repo / "ignored"))
    (repo / "ignored").write_text(".dvc\n")
    with pytest.raises(PipelineError, match="has no DVC project"):
        make_tree(Path("tree"))
    assert not (repo / "tree").exists()
    assert len(git("worktree", "list").splitlines()) == 1


def test_another_worktree_whose_disk_is_away_stays_registered(repo: Path) -> None:
    git("worktree", "add", "--quiet", "--detach", str(repo.parent / "usb"))
    (repo.parent / "usb").rename(repo.parent / "away")
    make_tree(Path("tree"))
    remove_tree(Path("tree"))
    (repo.parent / "away").rename(repo.parent / "usb")
    assert "usb" in git("worktree", "list")


def test_a_tree_has_new_code_and_neither_notes_nor_what_git_ignores(repo: Path) -> None:
    for name in ("extra.py", "notes.txt", "vision/page.html", "sources/mine.csv", "secret.py"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("new\n")
    (repo / ".gitignore").write_text("/tree/\nsecret.py\n")
    make_tree(Path("tree"))
    new = {"extra.py", "vision/page.html", "sources/mine.csv"}
    assert set(list_uncommitted(Path("tree"))) == {*new, ".gitignore"}
    assert (repo / "tree/vision/page.html").exists()


def test_a_tree_has_the_bytes_of_files_staged_renamed_or_removed(repo: Path) -> None:
    for name in ("a.py", "b.py", "c.py"):
        (repo / name).write_text(name)
    git("add", "--all")
    git("commit", "--quiet", "--message", "More")
    (repo / "a.py").unlink()
    git("mv", "b.py", "ü b.py")
    git("rm", "--quiet", "--cached", "c.py")
    (repo / "d.bin").write_bytes(b"\0\r\n\xff")
    git("add", "d.bin")
    (repo / "d.bin").chmod(0o755)
    make_tree(Path("tree"))
    assert {path.name for path in (repo / "tree").glob("*.py")} == {"c.py", "ü b.py"}
    assert (repo / "tree/d.bin").read_bytes() == b"\0\r\n\xff"
    assert os.access(repo / "tree/d.bin", os.X_OK)


def test_downloads_and_folders_named_in_the_environment_reach_a_tree(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "data/downloads").mkdir(parents=True)
    (repo / "data/downloads/a.tar").touch()
    make_tree(Path("tree"))
    bring_downloads(Path("tree"), repo)
    assert (repo / "tree/data/downloads/a.tar").exists()
    monkeypatch.setenv("PIPELINE_MIRROR", "mirror")
    monkeypatch.setenv("PIPELINE_CHECKPOINTS", "kept")
    environment = make_environment()
    assert environment["PIPELINE_MIRROR"] == str(repo / "mirror")
    assert environment["PIPELINE_CHECKPOINTS"] == str(repo / "kept")
    monkeypatch.setenv("PIPELINE_MIRROR", "https://example.org/files")
    monkeypatch.setenv("PIPELINE_CHECKPOINTS", "")  # turned off
    environment = make_environment()
    assert (environment["PIPELINE_MIRROR"], environment["PIPELINE_CHECKPOINTS"]) == (
        "https://example.org/files",
        "",
    )


def test_own_weights_reach_a_tree_though_git_ignores_them(repo: Path) -> None:
    write_folder(repo / OWN_DIR, {"mine.pth": b"weights", ".gitignore": b"*.pth\n"})
    make_tree(Path("tree"))
    assert not (repo / "tree" / OWN_DIR / "mine.pth").exists()
    bring_weights(Path("tree"), repo)
    assert (repo / "tree" / OWN_DIR / "mine.pth").read_bytes() == b"weights"


def test_remotes_and_passwords_reach_a_tree_as_dvc_resolves_them(repo: Path) -> None:
    (repo / ".dvc/config").write_text("['remote \"team\"']\n    url = ../../team\n")
    away = "['remote \"away\"']\n    url = ssh://host/store\n    password = secret\n"
    (repo / ".dvc/config.local").write_text(f"[core]\n    remote = team\n{away}")
    make_tree(Path("tree"))
    config = Config(str(repo / "tree/.dvc"))
    assert config["core"]["remote"] == "team"
    assert config["remote"]["team"]["url"] == str(repo.parent / "team")
    assert config["remote"]["away"]["password"] == "secret"
    assert (repo / "tree/.dvc/config.local").stat().st_mode & 0o777 == 0o600


def test_below_a_folder_with_an_umlaut_dvc_takes_the_index_and_more_settings(repo: Path) -> None:
    project = repo.rename(repo.with_name("Müller"))
    keep_site_cache(project)
    with Config(str(project / ".dvc")).edit("local") as local:
        local["core"]["remote"] = "team"
    config = Config(str(project / ".dvc"))
    folder = Path(config["core"]["site_cache_dir"])
    assert config["core"]["remote"] == "team"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_settings_that_dvc_cannot_read_are_one_line_and_leave_no_tree(repo: Path) -> None:
    (repo / ".dvc/config.local").write_text("[core]\n    remot = team\n")
    with pytest.raises(PipelineError, match="extra keys not allowed"):
        make_tree(Path("tree"))
    assert not (repo / "tree").exists()


def test_a_commit_hook_that_makes_a_tree_leaves_the_commit_as_it_is(repo: Path) -> None:
    """Git tells a hook which index it is about to commit; so does the hook all that it starts."""
    hook = repo / ".git/hooks/pre-commit"
    code = "from pathlib import Path; from flows.engine import tree as t"
    make = "t.make_tree(Path('tree')); t.remove_tree(Path('tree'))"
    environment = f"env PYTHONPATH={ROOT}"
    hook.write_text(f'#!/bin/sh\n{environment} {sys.executable} -c "{code}; {make}" || exit 1\n')
    hook.chmod(0o755)
    (repo / "params.yaml").write_text("seed: 7\n")
    (repo / "new.py").write_text("# not added\n")
    git("commit", "--quiet", "--all", "--message", "Seven")
    assert git("show", "--format=", "--name-only", "HEAD") == "params.yaml\n"
    assert git("status", "--porcelain") == "?? new.py\n"


def test_a_tree_has_the_files_of_submodules_as_the_user_sees_them(repo: Path) -> None:
    library = repo.parent / "library"
    write_folder(library, {"lib.py": b"# one"})
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "One")):
        git("-C", str(library), *AUTHOR, *words)
    allowed = ("-c", "protocol.file.allow=always")
    git(*allowed, "submodule", "--quiet", "add", str(library), "vision/lib")
    git("commit", "--quiet", "--message", "Add a library")
    module = repo / "vision/lib"
    write_folder(module, {"lib.py": b"# two", "more.py": b"# new"})

    make_tree(Path("tree"))
    assert (repo / "tree/vision/lib/lib.py").read_bytes() == b"# two"
    assert (repo / "tree/vision/lib/more.py").read_bytes() == b"# new"
    with pytest.raises(PipelineError, match="the submodule vision/lib has what is not committed"):
        check_free(publish="nightly")
    git("-C", str(module), "add", "--all")
    git("-C", str(module), *AUTHOR, "commit", "--quiet", "--message", "Two")
    check_free(publish="nightly")
    commit = publish(make_tree(Path("tree")), "nightly", "Publish")
    head = git("-C", str(module), "rev-parse", "HEAD")
    assert git("rev-parse", f"{commit}:vision/lib") == head
    assert git("status", "--porcelain") == " M vision/lib\n"
    git("submodule", "--quiet", "deinit", "--force", "vision/lib")
    (empty,) = (finding.text for finding in check_git(False) if "submodule" in finding.text)
    assert empty == "the submodule vision/lib is empty: git submodule update --init --recursive"
