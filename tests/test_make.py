"""make's set-up, with pip left out: in folders of any name, and after a move or a copy."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.toy import make_toy
from tests.projects import ROOT

TARGET = ".venv/installed-default"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A toy project with our Makefile, at a path with a blank and an umlaut."""
    folder = tmp_path / "a fröhlicher ordner"
    folder.mkdir()
    make_toy(folder)
    (folder / "flows/engine").mkdir(parents=True)
    for name in ("Makefile", "flows/engine/venv.pth"):
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "requirements.lock").touch()
    return folder


def make(folder: Path) -> str:
    """Set up an environment with our own packages in it."""
    python = folder / "python"
    python.write_text('#!/bin/sh\nexec python3 "$@" --without-pip\n')
    python.chmod(0o755)
    words = ["make", TARGET, "PIP=true", f"PYTHON='{python}'"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = folder.glob(".venv/lib/python*/site-packages")
    (packages,) = ROOT.glob(".venv/lib/python*/site-packages")
    (site / "other.pth").write_text(f"{packages}\n")
    return done.stdout


def repro(folder: Path) -> str:
    """Run a stage with DVC, called by its path from an environment that knows nothing of it."""
    words = [folder / ".venv/bin/python", "-m", "dvc", "repro", "fetch"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_moved_or_copied_project_builds_its_environment_anew(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "stage.py").write_text(
        "import sys; print(sys.executable); open('fetch.txt', 'w').close()"
    )
    assert "-m venv" in make(folder)
    assert "up to date" in make(folder)
    assert f"\n{folder}/.venv/bin/python\n" in repro(folder)
    assert list((folder / ".dvc/tmp/site/repo").iterdir())
    assert not (folder / ".dvc/config.local").exists()

    copied, moved = tmp_path / "copied", tmp_path / "moved"
    shutil.copytree(folder, copied, symlinks=True)
    folder.rename(moved)
    for there in (copied, moved):
        (there / ".venv/old").touch()
        assert "--clear" in make(there)
        assert not (there / ".venv/old").exists()
        assert "up to date" in make(there)
        (there / "fetch.txt").unlink()
        shutil.rmtree(there / ".dvc/cache")
        assert f"\n{there}/.venv/bin/python\n" in repro(there)


@pytest.mark.usefixtures("warm")
def test_a_linked_environment_is_left_alone(folder: Path, tmp_path: Path) -> None:
    make(folder)
    (folder / ".venv/old").touch()
    clone = tmp_path / "clone"
    shutil.copytree(folder, clone, ignore=shutil.ignore_patterns(".venv"))
    (clone / ".venv").symlink_to(folder / ".venv")
    os.utime(folder / TARGET)
    assert "up to date" in make(clone)
    assert (folder / ".venv/old").exists()
