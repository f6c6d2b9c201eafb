"""A data set in several archives is decoded part by part on workers, each part once."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from flows.engine.plan import make_plan
from flows.engine.repro import StageFailedError
from flows.placing.objects import open_store
from flows.placing.orders import Order
from flows.placing.part_worker import run_part
from flows.placing.parts import PartShelf
from flows.placing.pools import register_pools
from tests.flows.placing.conftest import POOL, ending, read_runs, run, start_worker
from tests.flows.toy import dvc, git, wait_until
from tests.projects import commit, copy_code, set_value
from tests.projects import run as run_command
from tests.vision.base.servers import Site, serving
from tests.vision.data.pictures import encode, paint, write_folder, write_tar_gz
from vision.data.parts import FILES
from vision.data.sources import open_user_images
from vision.data.storing import save_raw
from vision.schema.data import DataParams

PX = 16  # as tests.projects.SMALL has it
PETS = {
    f"{name}/{n}.png": encode(paint((9 * n, shade, 0)))
    for n in range(12)
    for shade, name in enumerate(("cats", "dogs"))
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project at home, whose `download` is tried once, and two clones for workers."""
    home = tmp_path / "home"
    home.mkdir()
    copy_code(home)
    text = (home / "dvc.yaml").read_text()
    (home / "dvc.yaml").write_text(text.replace("retries: 2", "retries: 0"))
    dvc(home, "remote", "add", "--default", "store", "../store")
    set_value(home, "data.source", "sources/pets.yaml")
    monkeypatch.chdir(home)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return home


def share(home: Path) -> None:
    """Commit the project, and clone it for two workers."""
    commit(home)
    git(home.parent, "clone", "--quiet", "--bare", "home", "hub.git")
    git(home, "remote", "add", "origin", "../hub.git")
    for name in ("one", "two"):
        git(home.parent, "clone", "--quiet", "hub.git", name)


def read_raw(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    """A source of two parts, /a.bin and /b.bin."""
    archives = {}
    for number, letter in enumerate("ab"):
        files = {name: PETS[name] for name in sorted(PETS)[number::2]}
        archives[letter] = write_tar_gz(home.parent / letter, files).read_bytes()
    with serving(**archives) as site:
        listed = [
            {"url": f"{site.url}/{letter}.bin", "sha256": hashlib.sha256(content).hexdigest()}
            for letter, content in archives.items()
        ]
        (home / "sources/pets.yaml").write_text(yaml.safe_dump({"parts": listed}))
        yield site


@pytest.mark.usefixtures("site", "warm_python")
def test_the_plan_says_how_many_parts_are_decoded_already(home: Path) -> None:
    def read_reasons() -> tuple[str, ...]:
        return next(stage.reasons for stage in make_plan() if stage.name == "download")

    assert read_reasons()[-1] == "0 of 2 parts are decoded already"
    run_command(home, "python", "-m", "stages.part", "1")
    assert read_reasons()[-1] == "1 of 2 parts are decoded already"
    set_value(home, "data.image_px", PX + 1)
    assert read_reasons()[-1] == "0 of 2 parts are decoded already"


def kill_second_part(site: Site) -> None:
    """Kill the command that decodes the second part while it waits for its archive."""
    wait_until(lambda: "/b.bin" in list_asked(site))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[1:] == ["-m", "stages.part", "2"]:
                process.kill()


def list_asked(site: Site) -> list[str]:
    return [path for path, _ in site.asked]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.usefixtures("prefect_server", "warm_python")
def test_parts_are_decoded_by_workers_and_what_one_gave_another_joins(
    home: Path, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    share(home)
    register_pools([POOL])
    place = [f"download={POOL}"]
    site.wait_s = 3
    with ending(start_worker(tmp_path / "one", NO_PROXY="127.0.0.1")):
        killer = threading.Thread(target=kill_second_part, args=(site,))
        killer.start()
        state = run("killed", targets=["download"], place=place)
        killer.join()
    assert f"download: part 2 of 2, {site.url}/b.bin: killed, " in str(state.message)
    assert len([*(tmp_path / "store/checkpoints").glob("part-*/listing.json")]) == 1
    site.wait_s = 0
    site.asked.clear()
    with ending(start_worker(tmp_path / "two", NO_PROXY="127.0.0.1")):
        state = run("by another", targets=["download"], place=place)
    assert state.message == "1 of 1 stages ran: download"
    assert list_asked(site) == ["/b.bin"]
    assert "1 of 2 parts are there already" in caplog.text
    parts = [each.state_name for each in read_runs("download") if " part " in each.name]
    assert sorted(parts) == ["Completed", "Completed", "Failed"]
    params = DataParams(source="pets", image_px=PX)
    save_raw(open_user_images(write_folder(tmp_path / "pets", PETS), params), PX, tmp_path / "raw")
    assert read_raw(home / "data/raw") == read_raw(tmp_path / "raw")
    assert "up to date" in dvc(home, "status", "download")


@pytest.mark.slow
def test_a_part_that_cannot_be_had_is_one_line_with_its_address(home: Path, site: Site) -> None:
    del site.files["/b.bin"]
    order = Order(stage="download", reference="", commit="", entry={}, held=[], packages="", part=2)
    with pytest.raises(StageFailedError) as caught:
        run_part(order, home, threading.Event(), print)
    assert str(caught.value) == (f"download: part 2 of 2: {site.url}/b.bin answers 404 Not Found")


def test_a_part_lies_in_the_remote_once_it_is_whole_and_only_as_it_was_last_asked_for(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc(toy, "remote", "add", "--default", "store", "../store")
    monkeypatch.chdir(toy)
    older, newer, other = ("part-aaa-0000", "part-aaa-1111", "part-bbb-0000")
    for name in (older, newer, other):
        for file in FILES:
            (toy / name).mkdir(exist_ok=True)
            (toy / name / file).write_text("{}" if file.endswith("json") else name)
    with open_store(toy) as store:
        shelf = PartShelf(store)
        assert not shelf.has(newer)
        for name in (older, newer, other):
            shelf.send(toy / name)
        shelf.drop_others([newer])
        assert [shelf.has(name) for name in (older, newer, other)] == [False, True, True]
        (toy / newer / FILES[-1]).unlink()
        assert shelf.bring(toy / newer)
        assert not shelf.bring(toy / older)
    lying = {path.name for path in (toy / "../store/checkpoints").rglob("*") if path.is_file()}
    assert lying == {*FILES}
