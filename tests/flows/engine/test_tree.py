import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.config import Config

from flows.engine.overrides import set_params
from flows.engine.tree import bring_source, keep_site_cache, make_tree, remove_tree
from tests.vision.data.pictures import RED, write_folder
from vision.base.errors import ParamsError, PipelineError


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


def test_a_path_with_blanks_and_umlauts_reaches_dvcs_settings(repo: Path) -> None:
    folder = repo / "ein schöner Ordner"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config.local").write_text("['remote \"store\"']\n    url = /größe\n")
    keep_site_cache(folder)
    settings = Config(str(folder / ".dvc"), validate=False)
    assert settings["core"]["site_cache_dir"] == str(folder / ".dvc/tmp/site")
    assert settings["remote"]["store"]["url"] == "/größe"
