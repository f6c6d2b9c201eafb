import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vision.base.servers import CUT_SHORT, ENDLESS, Site, serving
from vision.base import connections
from vision.base import fetch as module
from vision.base.errors import ChecksumError, SourceError
from vision.base.fetch import DOWNLOADS_DIR, Official, fetch, fetch_official

CONTENT = bytes(range(256)) * 40
DIGESTS = {"sha256": hashlib.sha256(CONTENT).hexdigest()}
PART = DOWNLOADS_DIR / "a.bin.part"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(connections, "PAUSES_S", (0.01, 0.02))
    return tmp_path


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(a=CONTENT) as site:
        yield site


def start_part(content: bytes) -> None:
    PART.parent.mkdir(parents=True)
    PART.write_bytes(content)


def official(url: str) -> Official:
    return Official(url, DIGESTS, stand_ins=("copy.bin", "copy-*.bin"), way_out="x=none")


def test_a_file_is_downloaded_under_its_name(site: Site) -> None:
    assert fetch(f"{site.url}/a.bin", DIGESTS) == DOWNLOADS_DIR / "a.bin"
    assert (DOWNLOADS_DIR / "a.bin").read_bytes() == CONTENT
    assert not PART.exists()


def test_a_verified_file_is_not_downloaded_again(site: Site) -> None:
    fetch(f"{site.url}/a.bin", DIGESTS)
    fetch(f"{site.url}/a.bin", DIGESTS)
    assert len(site.asked) == 1


def test_a_file_without_a_checksum_is_downloaded_again(site: Site) -> None:
    fetch(f"{site.url}/a.bin", {})
    fetch(f"{site.url}/a.bin", {})
    assert len(site.asked) == 2


def test_a_part_is_resumed_where_it_ended(site: Site) -> None:
    start_part(CONTENT[:100])
    assert fetch(f"{site.url}/a.bin", DIGESTS).read_bytes() == CONTENT
    assert site.asked == [("/a.bin", "bytes=100-")]


def test_a_part_is_started_anew_where_the_server_cannot_resume(site: Site) -> None:
    start_part(CONTENT[:100])
    site.resumes = False
    assert fetch(f"{site.url}/a.bin", DIGESTS).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"of another file", CONTENT, CONTENT + b"more"])
def test_a_part_that_does_not_fit_is_replaced(site: Site, part: bytes) -> None:
    start_part(part)
    assert fetch(f"{site.url}/a.bin", DIGESTS).read_bytes() == CONTENT


def test_a_part_without_a_checksum_is_not_trusted(site: Site) -> None:
    start_part(b"of another file")
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT


def test_other_bytes_than_expected_are_an_error_and_not_kept(site: Site) -> None:
    with pytest.raises(ChecksumError, match=r"a\.bin sent sha256 .*, not 00"):
        fetch(f"{site.url}/a.bin", {"sha256": "00"})
    assert [path.suffix for path in DOWNLOADS_DIR.iterdir()] == [".lock"]


def test_a_page_in_place_of_a_file_is_named_and_the_part_kept(site: Site) -> None:
    start_part(CONTENT[:100])
    site.files["/a.bin"] = b"\n<!DOCTYPE html><title>Log in</title>"
    site.headers["Content-Type"] = "text/html; charset=utf-8"
    with pytest.raises(SourceError, match=r"a\.bin leads to a web page \(text/html\), not to a"):
        fetch(f"{site.url}/a.bin", {})
    assert len(site.asked) == 1
    assert PART.read_bytes() == CONTENT[:100]


def test_a_file_that_is_sent_as_a_page_is_taken_for_what_it_is(site: Site) -> None:
    site.headers["Content-Type"] = "text/html"
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT


def test_a_body_shorter_than_announced_is_an_error() -> None:
    with (
        serving(short=CUT_SHORT) as site,
        pytest.raises(SourceError, match=r"short\.bin broke off after 9 of 16 bytes"),
    ):
        fetch(f"{site.url}/short.bin", {})


def test_an_endless_body_stops_at_the_limit_and_leaves_nothing() -> None:
    with (
        serving(long=ENDLESS) as site,
        pytest.raises(SourceError, match="more than the limit of 1,000,000 bytes"),
    ):
        fetch(f"{site.url}/long.bin", {}, limit=1_000_000)
    assert not (DOWNLOADS_DIR / "long.bin.part").exists()


def test_an_announced_body_over_the_limit_is_refused(site: Site) -> None:
    with pytest.raises(SourceError, match="more than the limit of 99 bytes"):
        fetch(f"{site.url}/a.bin", {}, limit=99)


def test_a_full_disk_is_an_error_before_the_download(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESERVE_BYTES", 2**80)
    with pytest.raises(SourceError, match="MiB free"):
        fetch(f"{site.url}/a.bin", {})


def test_a_password_and_a_token_stay_out_of_messages() -> None:
    with pytest.raises(SourceError) as caught:
        fetch("http://me:secret@127.0.0.1:9/a.bin?token=secret", {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/a/%2e%2e", "/a%0ab"])
def test_an_address_that_names_no_file_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match="names no file"):
        fetch(f"http://127.0.0.1:9{path}", {})


def test_an_unreachable_official_source_names_three_ways_out() -> None:
    with pytest.raises(SourceError) as caught:
        fetch_official(official("http://127.0.0.1:9/a.bin"))  # port 9: nobody listens
    message = str(caught.value)
    assert "\n" not in message
    for part in ("http://127.0.0.1:9/a.bin", "refused", "network", "MIRROR", "x=none"):
        assert part in message


def test_without_a_mirror_the_official_address_is_asked(site: Site) -> None:
    fetched = fetch_official(official(f"{site.url}/a.bin"))
    assert (fetched.path, fetched.official) == (DOWNLOADS_DIR / "a.bin", True)


def test_a_file_whose_address_has_no_name_of_its_own_gets_one(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(official(f"{site.url}/a.bin"), called="net.bin")
    assert fetch_official(model).path == DOWNLOADS_DIR / "net.bin"
    (project / "net.bin").write_bytes(CONTENT)
    monkeypatch.setenv("PIPELINE_MIRROR", str(project))
    assert fetch_official(model).path == project / "net.bin"


def test_a_mirror_folder_with_the_official_file_comes_first(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", str(project))
    (project / "a.bin").write_bytes(CONTENT)
    (project / "copy.bin").write_bytes(b"stand-in")
    fetched = fetch_official(official(f"{site.url}/a.bin"))
    assert (fetched.path, fetched.official) == (project / "a.bin", True)
    assert site.asked == []


def test_a_mirror_with_a_wrong_official_file_is_an_error(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", str(project))
    (project / "a.bin").write_bytes(b"something else")
    with pytest.raises(ChecksumError, match="remove or replace it"):
        fetch_official(official(f"{site.url}/a.bin"))


def test_a_stand_in_serves_where_the_mirror_lacks_the_official_file(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", str(project))
    (project / "copy-2.bin").write_bytes(b"stand-in")
    fetched = fetch_official(official(f"{site.url}/a.bin"))
    assert (fetched.path, fetched.official) == (project / "copy-2.bin", False)


def test_an_empty_mirror_leads_to_the_official_address(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", str(project))
    assert fetch_official(official(f"{site.url}/a.bin")).official


def test_an_http_mirror_serves_the_official_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", f"{site.url}/")
    assert fetch_official(official("http://127.0.0.1:9/a.bin")).official


def test_an_http_mirror_serves_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(copy=b"stand-in") as site:
        monkeypatch.setenv("PIPELINE_MIRROR", site.url)
        fetched = fetch_official(official("http://127.0.0.1:9/a.bin"))
    assert (fetched.path.name, fetched.official) == ("copy.bin", False)


def test_a_mirror_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_MIRROR", "nowhere")
    with pytest.raises(SourceError, match="PIPELINE_MIRROR is 'nowhere', neither a folder nor"):
        fetch_official(official("http://127.0.0.1:9/a.bin"))
