"""Small data for all tests: real formats, made on the spot, offline."""

import gc
import os
import shutil
import subprocess
import sys

# Before torch: two threads each, beside other programs, make small trainings ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from tests.projects import KEPT, ROOT, make_project, reset_project
from tests.skips import show_skips, skip_without
from tests.warm import SHARED, find_commands, start_server, start_warm_commands, use_server
from vision.base.files import write_array, write_json, write_rows
from vision.data.dataset import ImageSet
from vision.data.sharding import write_images

gc.disable()  # until all tests are imported, which leaves no garbage
for name in ("MIRROR", "PIPELINE_MIRROR"):  # one of the user's must not decide a test
    os.environ.pop(name, None)
# Thousands of small files are written and removed, which takes a disk a tenth of all time.
MEMORY, ROOM = Path("/dev/shm"), 8 * 2**30  # bytes
if (
    "TMPDIR" not in os.environ
    and os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # as in a container
    and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
CLASSES = ("blue", "green", "red")
WARM = ExitStack()


def make_images(per_class: int, image_px: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy squares whose colour is their class: (N, P, P, 3) uint8 and (N,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    images = rng.integers(0, 90, (len(labels), image_px, image_px, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, 2 - labels] += 120
    return images, labels.astype(np.int64)


def make_image_set(per_class: int, image_px: int = 8, seed: int = 0) -> ImageSet:
    images, labels = make_images(per_class, image_px, seed)
    return ImageSet(images, labels, np.arange(len(labels)), CLASSES)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=0, help="Moments at which each thing is killed.")
    parser.addoption("--experiments", type=int, default=3, help="Of a sweep over workers, up to 9.")
    parser.addoption("--kill-seed", type=int, default=0, help="By which they are drawn.")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the commands that pytest's workers share before these."""
    if session.config.pluginmanager.hasplugin("dsession"):
        os.environ[SHARED] = WARM.enter_context(start_server())


def pytest_unconfigure() -> None:
    WARM.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: towards the end the quick ones keep every worker busy.

    The longest of them makes the small project; those that share it come last, when it is there.
    """

    def rank(item: pytest.Item) -> tuple[bool, bool, bool]:
        is_slow = any(map(item.get_closest_marker, ("slow", "server")))
        return item.path.name != "test_kill.py", not is_slow, needs(item, "project")

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


class FewServers(LoadScopeScheduling):
    """Gives each test to a free worker, but those that need a Prefect server to one or two.

    One worker alone would be at them when all others have ended. So it does with the tests of a
    file that share what one of them makes. xdist's own groups have no effect with pytest 9.2, which
    keeps a test's id elsewhere.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        text = _read(path)
        if "prefect_server" in text:
            return "prefect-server" if "/placing/" in path else "another-prefect-server"
        return path if 'scope="module"' in text else nodeid


@cache
def _read(path: str) -> str:
    return (ROOT / path).read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return FewServers(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    show_skips(terminalreporter)


def needs(item: pytest.Item, fixture: str) -> bool:
    return fixture in getattr(item, "fixturenames", ())


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, where the system lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_without("leave to mount a small disk", "run the tests as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def raw(workspace: Path) -> Path:
    """A data/raw of 60 coloured squares, 20 a class, of which the source splits none."""
    images, labels = make_images(20)
    folder = workspace / "data/raw"
    write_images(folder / "images", images)
    write_array(folder / "labels.npy", labels)
    write_array(folder / "subsets.npy", np.zeros(len(labels), np.uint8))
    files = [{"file": f"{CLASSES[label]}/{row}.png"} for row, label in enumerate(labels)]
    write_rows(folder / "files.csv", files)
    write_json(folder / "classes.json", list(CLASSES))
    return folder


@pytest.fixture(scope="session")
def warm() -> Iterator[None]:
    """Let tests start stages and DVC from a process that has imported all they need."""
    shared = os.environ.get(SHARED)
    with use_server(shared) if shared else start_warm_commands():
        yield


@pytest.fixture
def warm_python(warm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let also what is started as `sys.executable` start at once."""
    monkeypatch.setattr(sys, "executable", shutil.which("python", path=find_commands()))


@pytest.fixture(scope="session")
def project(warm: None, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A small project on digits, all stages run and committed; shared by the slow tests.

    One of pytest's workers makes it; each has a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    made = (base if worker_id == "master" else base.parent) / "made"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            made.mkdir()
            make_project(made)
    folder = base / "project"
    shutil.copytree(made, folder, symlinks=True)
    shutil.copytree(made / KEPT, folder.with_name("kept"))
    return folder


@pytest.fixture
def changed(project: Path) -> Iterator[Path]:
    """The project, put back as it was after the test."""
    yield project
    reset_project(project)
