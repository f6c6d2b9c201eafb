"""The image's entry point, in a folder and in a root of its own like a container's."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.projects import ROOT, copy_code
from tests.skips import skip_without

START = ROOT / "container/start"
# What the image has, at the places where this machine has it; the environment is /opt/venv there.
SHARED = ("/bin", "/etc", "/lib", "/lib64", "/usr", "/sys")
ROOT_SCRIPT = """
set -e
chown -R 1000:1000 "$SOURCE"
show() {
  mkdir -p "$NEW$2"
  mount --bind "$1" "$NEW$2"
  mount -o remount,bind,ro "$NEW$2"
}
for folder in $SHARED "$BASE" "$VENV"; do [ ! -d "$folder" ] || show "$folder" "$folder"; done
show "$SOURCE" /source
for folder in /proc /dev /tmp /project /cache; do mkdir -p "$NEW$folder"; done
mount -t proc proc "$NEW/proc"
mount --rbind /dev "$NEW/dev"
chmod 1777 "$NEW/tmp"
chown 1000:1000 "$NEW/project" "$NEW/cache"
exec chroot --userspec=1000:1000 "$NEW" env -i $ENVIRONMENT sh -c "cd / && exec $COMMAND"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A git repository of the project, on digits."""
    folder = tmp_path / "source"
    folder.mkdir()
    copy_code(folder)
    return folder


def start(home: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [START, *command],
        env=os.environ | {"PIPELINE_HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_container_begins_in_a_clone_with_the_remote_and_the_cache_that_it_is_told(
    source: Path, tmp_path: Path
) -> None:
    lock = {"PIPELINE_LOCK": str(source / "requirements.lock")}
    told = {"PIPELINE_GIT": str(source), "PIPELINE_REMOTE": "s3://a/b", "PIPELINE_CACHE": "/c"}
    home = tmp_path / "home"
    done = start(home, "cat", ".dvc/config.local", **lock, **told)
    assert done.stdout.splitlines() == [
        *("[cache]", "    dir = /c", "[core]", "    remote = here"),
        *("['remote \"here\"']", "    url = s3://a/b"),
    ]
    (home / "note").touch()
    assert "note" in start(home, "ls", **lock).stdout  # what is there is not cloned again


def test_without_a_command_a_container_serves_its_pool(source: Path, tmp_path: Path) -> None:
    """The image has no `pipeline` script: python, here one that says what it is called with."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho $PWD $*\n")
    python.chmod(0o755)
    home = tmp_path / "home"
    variables = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PIPELINE_LOCK": str(source / "requirements.lock"),
        "PIPELINE_GIT": str(source),
        "PIPELINE_POOL": "gpu",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }
    assert start(home, **variables).stdout == f"{home} -m flows.cli work gpu\n"
    assert start(home, "pipeline", "plan", **variables).stdout == f"{home} -m flows.cli plan\n"
    for missing, said in (
        ("PIPELINE_POOL", "error: give a command, or in PIPELINE_POOL the work pool to serve\n"),
        ("PREFECT_API_URL", "error: PREFECT_API_URL has to say which server has the pool gpu\n"),
    ):
        assert start(home, **variables | {missing: ""}).stderr == said


def test_a_container_says_in_one_line_why_it_cannot_begin(source: Path, tmp_path: Path) -> None:
    for variables, said in (
        ({}, "there is no clone in .*, and PIPELINE_GIT names none"),
        ({"PIPELINE_GIT": "/nowhere"}, "PIPELINE_GIT is /nowhere, which cannot be cloned"),
        (
            {"PIPELINE_GIT": str(source), "PIPELINE_LOCK": os.devnull},
            "the image was built from another requirements.lock than the project has: build",
        ),
    ):
        done = start(tmp_path / "home", "true", **variables)
        assert done.returncode == 1
        assert re.match(f"error: {said}", done.stderr.splitlines()[-1])


@pytest.mark.slow
def test_a_stage_runs_as_a_user_without_rights_in_a_root_that_it_cannot_write(
    source: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}  # where chroot is
    probe = ["env", "unshare", "--mount", "chroot", "/", "true"]
    if subprocess.run(probe, env=environment, capture_output=True).returncode:
        skip_without("root", "a root of its own, by unshare and chroot, stands in for a container")
    new, venv = tmp_path / "root", Path(sys.prefix).resolve()
    inside = {
        "PATH": f"{venv}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "PIPELINE_HOME": "/project",
        "PIPELINE_CACHE": "/cache",
        "PIPELINE_GIT": "file:///source",
        "PIPELINE_LOCK": "/source/requirements.lock",
        "DVC_SITE_CACHE_DIR": "/project/.dvc/tmp/site",
        "OMP_NUM_THREADS": "1",
    }
    variables = {
        "NEW": str(new),
        "SHARED": " ".join(SHARED),
        "BASE": sys.base_prefix,
        "VENV": str(venv),
        "SOURCE": str(source),
        "ENVIRONMENT": " ".join(f"{key}={value}" for key, value in inside.items()),
        "COMMAND": "/source/container/start dvc repro download split",
    }
    new.mkdir()
    unshare = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", ROOT_SCRIPT]
    done = subprocess.run(unshare, env=environment | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = new / "project/data/split/train.npy"
    assert made.stat().st_uid == 1000
    assert any((new / "cache/files").iterdir())


def test_the_image_has_the_extras_that_it_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"--extra (\w+)", (ROOT / "Dockerfile").read_text()))
    assert named
    assert named <= project["optional-dependencies"].keys() - {"dev"}


def test_all_that_the_image_is_built_from_is_sent_and_nothing_else() -> None:
    """Data, caches and secrets in a project's folder do not get into an image."""
    ignored, *kept = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M
    )
    assert ignored == "*"
    assert {line.removeprefix("!") for line in kept} == set(" ".join(copied).split())
