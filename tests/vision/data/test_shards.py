import hashlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dvc.cli import main as dvc

from tests.conftest import make_images
from tests.vision.data.pictures import encode, paint, write_folder, write_tar_gz
from vision.base.errors import DataError
from vision.data import decoding, sharding, shards
from vision.data.decoding import Decoded
from vision.data.images import FULL_BITS
from vision.data.sharding import HEADER_BYTES, write_images
from vision.data.shards import open_images
from vision.data.sources import open_user_images
from vision.data.storing import RawImages, save_raw
from vision.schema.data import DataParams

MOST = 8  # images in a shard of these tests
PX = 8
RAW = Path("data/raw")
PHOTOS = {
    f"{name}/{n:03}.png": encode(paint((n, shade, 0), (PX, PX)))
    for shade, name in enumerate(("cat", "dog"))
    for n in range(50)
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "SHARD_BYTES", HEADER_BYTES + MOST * PX**2 * 3)


@pytest.fixture
def photos(workspace: Path) -> Path:
    return write_folder(workspace / "photos", PHOTOS)


def open_photos(path: Path = Path("photos")) -> RawImages:
    return open_user_images(path.resolve(), DataParams(source="x", image_px=PX))


def save(path: Path = Path("photos"), place: Path | None = None) -> dict[str, bytes]:
    """Store photos, and return the files of data/raw."""
    save_raw(open_photos(path), PX, RAW, place=place)
    files = (file for file in RAW.rglob("*") if file.is_file())
    return {file.relative_to(RAW).as_posix(): file.read_bytes() for file in files}


def list_shards(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if "/shard" in name}


def count_changed(before: dict[str, bytes], after: dict[str, bytes]) -> int:
    return len({*list_shards(after).items()} - {*before.items()})


@pytest.mark.parametrize("large_bytes", [1, 2**14])
def test_rows_come_as_from_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large_bytes: int
) -> None:
    monkeypatch.setattr(shards, "LARGE_BYTES", large_bytes)
    images, _ = make_images(20)
    images[7] = images[50]  # stored once
    write_images(tmp_path, images)
    stored = open_images(tmp_path)
    rows = np.array([59, 0, 7, 7, 50])
    assert len(list(tmp_path.iterdir())) > 60 // MOST
    assert (len(stored), stored.shape) == (60, images.shape)
    assert np.array_equal(stored[rows], images[rows])
    assert np.array_equal(stored[3:9], images[3:9])
    assert np.array_equal(stored[:], images)
    assert np.array_equal(list(stored), images)
    assert stored[rows[:0]].shape == (0, PX, PX, 3)
    assert stored[rows].flags.writeable


def test_no_shard_is_too_large_and_none_could_be_joined_with_its_other_half(
    tmp_path: Path,
) -> None:
    write_images(tmp_path, make_images(100)[0])
    counts = {
        path.stem.removeprefix("shard-"): len(np.load(path)) for path in tmp_path.glob("shard*")
    }
    assert max(counts.values()) <= MOST
    assert all(path.stat().st_size <= sharding.SHARD_BYTES for path in tmp_path.glob("shard*"))
    for bits in counts:
        pair = [n for other, n in counts.items() if other.startswith(bits[:-1])]
        assert sum(pair) > MOST


def test_the_shards_hang_on_the_set_of_images_alone(tmp_path: Path) -> None:
    images, _ = make_images(40)
    order = np.random.default_rng(0).permutation(len(images))
    write_images(tmp_path / "a", images)
    write_images(tmp_path / "b", images[: len(images) // 3])
    write_images(tmp_path / "b", images[order])  # other shards lie there
    stored = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("shard*")} for name in "ab"
    ]
    assert stored[0] == stored[1]
    assert np.array_equal(open_images(tmp_path / "b")[:], images[order])


@pytest.mark.usefixtures("photos")
def test_processes_and_archives_give_the_same_bytes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = save()
    write_tar_gz(workspace / "photos.tgz", dict(reversed(PHOTOS.items())))
    monkeypatch.setattr(decoding, "MANY", 1)
    monkeypatch.setattr(decoding, "CHUNK", 9)
    found = save(Path("photos.tgz"))
    del found["manifest.json"], expected["manifest.json"]  # they name the source
    assert found == expected


def add(root: Path) -> None:
    (root / "cat/new.png").write_bytes(encode(paint((200, 200, 200), (PX, PX))))


def replace_one(root: Path) -> None:
    (root / "cat/020.png").write_bytes(encode(paint((200, 200, 200), (PX, PX))))


def delete(root: Path) -> None:
    (root / "cat/020.png").unlink()


def rename(root: Path) -> None:
    (root / "cat/020.png").rename(root / "cat/0200.png")


def relabel(root: Path) -> None:
    (root / "cat/020.png").rename(root / "dog/zzz.png")


@pytest.mark.parametrize(
    ("change", "most"), [(add, 2), (replace_one, 2), (delete, 1), (rename, 0), (relabel, 0)]
)
def test_one_photo_changes_few_shards(
    photos: Path, change: Callable[[Path], None], most: int
) -> None:
    """An image more changes one shard, or makes two of it; one less makes one, or one of two."""
    before = save()
    change(photos)
    after = save()
    assert count_changed(before, after) <= most
    assert before["files.csv"] != after["files.csv"]
    assert open_images(RAW / "images")[0].tolist() == [[[0, 0, 0]] * PX] * PX


@pytest.mark.usefixtures("photos")
def test_a_decoding_process_that_is_killed_is_told_as_a_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "MANY", 1)
    monkeypatch.setattr(decoding, "CHUNK", 1)
    images = open_photos().read(range(100), FULL_BITS)
    next(images)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(MemoryError, match="a process that decoded images was ended"):
        list(images)


def test_the_table_names_files_and_the_size_of_their_originals(workspace: Path) -> None:
    wide = encode(paint("red", (40, 30)))
    files = {
        "train/b/x, y.png": wide,
        "train/a/1.png": wide,
        "train/a/\n.jpg": b"",
        "test/a/2.png": wide,
    }
    root = write_folder(workspace / "photos", files | {"test/b/2.png": wide})
    raw = open_user_images(root, DataParams(source="x", image_px=PX, broken="skip"))
    save_raw(raw, PX, RAW, "skip")
    md5 = hashlib.md5(wide, usedforsecurity=False).hexdigest()
    assert (RAW / "files.csv").read_text().splitlines() == [
        "file,label,subset,width,height,md5",
        f"train/a/1.png,a,train,40,30,{md5}",
        f'"train/b/x, y.png",b,train,40,30,{md5}',
        f"test/a/2.png,a,test,40,30,{md5}",
        f"test/b/2.png,b,test,40,30,{md5}",
    ]


@pytest.mark.usefixtures("photos")
def test_what_a_killed_run_has_decoded_is_not_decoded_again(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = save()
    place = workspace / f"kept/images-{'0' * 16}"
    child = os.fork()
    if not child:
        raw = open_photos()
        save_raw(
            replace(raw, read=lambda *wanted: die_after(40, raw.read(*wanted))),
            PX,
            RAW,
            place=place,
        )
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert save(place=place) == expected
    assert capsys.readouterr().out == "going on: 40 of 100 images are decoded\n"
    assert [path.name for path in place.parent.iterdir()] == ["images.lock"]


def die_after(count: int, images: Iterator[Decoded]) -> Iterator[Decoded]:
    for _, image in zip(range(count), images, strict=False):
        yield image
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("photos")
def test_decoded_images_that_were_damaged_are_decoded_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = save()
    place = workspace / f"kept/images-{'0' * 16}"
    raw = open_photos()

    def break_off(*wanted: object) -> Iterator[Decoded]:
        yield from raw.read(*wanted)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_raw(replace(raw, read=break_off), PX, RAW, place=place)
    with (place / "pixels").open("rb+") as file:
        file.seek(3 * PX**2 * 3)
        file.write(b"?")
    assert save(place=place) == expected


def test_a_shard_that_is_missing_or_cut_short_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, make_images(20)[0])
    first, *_ = sorted(tmp_path.glob("shard*"))
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(DataError, match=r"holds 5\d of 60 images: remove it, then dvc checkout"):
        open_images(tmp_path)
    first.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"{first.name} is damaged"):
        open_images(tmp_path)


def test_more_shards_are_opened_than_files_may_be(tmp_path: Path) -> None:
    write_images(tmp_path, make_images(150)[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, hard))
    try:
        assert len(open_images(tmp_path)) == 450
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_percent_more_photos_sends_no_more_shards_than_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images, _ = make_images(100)

    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(
        "[core]\nno_scm = true\nremote = here\n['remote \"here\"']\nurl = ../remote\n"
    )

    def push(count: int) -> tuple[set[str], dict[str, bytes]]:
        write_images(Path("images"), images[:count])
        assert dvc(["add", "-q", "images"]) == 0
        assert dvc(["push", "-q"]) == 0
        stored = {path.name for path in Path("remote").rglob("*") if path.is_file()}
        return stored, {path.name: path.read_bytes() for path in Path("images").glob("shard*")}

    first, before = push(297)
    second, after = push(300)
    changed = {name for name in before if after.get(name) != before[name]}
    assert 0 < len(changed) <= 3
    new = {name for name in after if after[name] != before.get(name)}
    assert len(new) <= len(changed) + len(after) - len(before)  # those that are two by now
    assert len(second - first) == len(new) + 2  # rows.npy, and the list of the folder
