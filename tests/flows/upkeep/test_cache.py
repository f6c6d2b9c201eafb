import os
from pathlib import Path

import pytest

from flows.upkeep.cache import find_cache, list_objects, verify_cache
from tests.flows.toy import dvc


@pytest.fixture(autouse=True)
def _here(new_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(new_toy)
    dvc(new_toy, "repro")


def flip_a_bit(path: Path) -> None:
    """Damage a file as a disk would: same size, same mode, same time."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_whole_cache_is_intact() -> None:
    (finding,) = verify_cache(repair=False)
    n = len(list_objects(find_cache()))
    assert finding == ("ok", f"cache: {n} objects of {n} are intact")
    assert n > 0


def test_every_damaged_object_is_found_and_comes_back() -> None:
    objects = list_objects(find_cache())
    before = {path: path.read_bytes() for path in objects}
    for path in objects:
        flip_a_bit(path)
    found = list(verify_cache(repair=False))
    assert [finding.kind for finding in found] == ["bad"] * len(objects) + ["ok"]
    assert all(path.name in finding.text for path, finding in zip(objects, found, strict=False))
    assert not [finding for finding in verify_cache(repair=True) if finding.kind == "bad"]
    assert not list_objects(find_cache())
    dvc(Path(), "repro")
    assert {path: path.read_bytes() for path in list_objects(find_cache())} == before


def test_dvc_itself_notices_nothing() -> None:
    """Why this exists. If it fails, DVC has learnt to look."""
    (target, *_) = (path for path in list_objects(find_cache()) if path.suffix != ".dir")
    good = target.read_bytes()
    flip_a_bit(target)
    for path in Path().glob("*.txt"):
        path.unlink()
    dvc(Path(), "checkout")
    contents = [path.read_bytes() for path in Path().glob("*.txt")]
    assert good not in contents


def test_a_run_that_cannot_be_read_is_dropped() -> None:
    (path, *_) = find_cache().glob("runs/*/*/*")
    path.write_text("cmd: [")
    first, _ = verify_cache(repair=False)
    assert first.kind == "bad"
    first, _ = verify_cache(repair=True)
    assert first.kind == "ok"
    assert not path.exists()
