"""Downloads that break off and go on, from a server that really does so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vision.base.servers import Site, serving
from vision.base.errors import SourceError
from vision.base.fetch import DOWNLOADS_DIR, fetch

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]
PART = DOWNLOADS_DIR / "a.bin.part"
DATE = "Sat, 01 Nov 2025 10:00:00 GMT"
VERSIONS = [{"ETag": '"1"'}, {"Last-Modified": DATE}, {"ETag": 'W/"1"', "Last-Modified": DATE}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(a=CONTENT) as site:
        yield site


def break_off(site: Site, n_bytes: int) -> None:
    """Leave a part of so many bytes, as a download does whose every try breaks off."""
    site.breaks = [n_bytes, 0, 0]
    with pytest.raises(SourceError, match=rf"broke off .*{n_bytes:,} of 10,240 bytes \(try 3"):
        fetch(f"{site.url}/a.bin", {})
    assert PART.stat().st_size == n_bytes
    site.asked.clear()
    site.conditions.clear()


def test_a_body_that_stalls_goes_on_where_it_stopped(site: Site) -> None:
    site.headers, site.breaks, site.stalls = {"ETag": '"1"'}, [5000, 1000], True
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
    assert [start for _, start in site.asked] == [None, "bytes=5000-", "bytes=6000-"]
    assert [path.suffix for path in DOWNLOADS_DIR.iterdir() if "part" in path.name] == []


@pytest.mark.parametrize("headers", VERSIONS)
def test_a_later_run_goes_on_if_the_server_says_that_the_file_is_the_same(
    site: Site, headers: dict[str, str]
) -> None:
    site.headers = headers
    break_off(site, 5000)
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
    assert site.asked == [("/a.bin", "bytes=5000-")]
    assert site.conditions == [headers.get("Last-Modified", '"1"')]


@pytest.mark.parametrize("heeds_conditions", [True, False])
def test_a_file_that_has_changed_is_started_anew(site: Site, heeds_conditions: bool) -> None:
    site.headers, site.heeds_conditions = {"ETag": '"1"'}, heeds_conditions
    break_off(site, 5000)
    site.headers, site.files["/a.bin"] = {"ETag": '"2"'}, OTHER
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == OTHER


def test_a_file_of_another_length_is_started_anew(site: Site) -> None:
    site.headers = {"Last-Modified": DATE}
    break_off(site, 5000)
    site.files["/a.bin"] = OTHER + b"more"
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == OTHER + b"more"


def test_a_part_of_another_address_is_not_gone_on_with(site: Site) -> None:
    site.headers = {"ETag": '"1"'}
    break_off(site, 5000)
    site.files["/b/a.bin"] = OTHER
    assert fetch(f"{site.url}/b/a.bin", {}).read_bytes() == OTHER
    assert site.asked == [("/b/a.bin", None)]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_where_nothing_says_that_a_file_is_the_same_it_is_started_anew(
    site: Site, headers: dict[str, str]
) -> None:
    site.headers, site.breaks = headers, [5000]
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
    assert site.asked == [("/a.bin", None)] * 2


def test_what_was_kept_of_a_version_may_be_damaged(site: Site) -> None:
    site.headers = {"ETag": '"1"'}
    break_off(site, 5000)
    PART.with_name("a.bin.part.json").write_text('["cut')
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
