import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vision.base.servers import Site, serving
from vision.base import connections
from vision.base.connections import PAUSES_S, MissingError, UnreachableError
from vision.base.errors import SourceError
from vision.base.fetch import fetch

CONTENT = bytes(range(256))
SLOW_S = 8  # that some servers take to pack a folder before they send it


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(a=CONTENT) as site:
        yield site


def test_the_pauses_grow_and_are_several() -> None:
    assert len(PAUSES_S) >= 3
    assert list(PAUSES_S) == sorted(set(PAUSES_S))


@pytest.mark.slow
def test_a_server_that_takes_8_s_is_waited_for(site: Site) -> None:
    site.wait_s = SLOW_S
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
    assert len(site.asked) == 1


def test_8_s_in_the_middle_and_30_s_are_allowed_too() -> None:
    assert connections.TIMEOUT_S >= 30 > SLOW_S


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    site: Site, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    site.statuses = [status, status]
    assert fetch(f"{site.url}/a.bin", {}).read_bytes() == CONTENT
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("answers ")[2][:3] for line in said] == [str(status)] * 2
    assert said[0].endswith("; next try in 0.01 s")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("status", "error"), [(400, SourceError), (401, SourceError)])
def test_what_does_not_pass_is_asked_once(
    site: Site, status: int, error: type[SourceError]
) -> None:
    site.statuses = [status]
    with pytest.raises(error, match=f"answers {status}"):
        fetch(f"{site.url}/a.bin", {})
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_asked_for_once(site: Site, status: int) -> None:
    site.statuses = [status]
    with pytest.raises(MissingError, match=f"answers {status}"):
        fetch(f"{site.url}/a.bin", {})
    assert len(site.asked) == 1


def test_a_server_that_names_a_pause_is_given_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connections, "PAUSES_S", (0.01,))
    monkeypatch.setattr(connections, "LONGEST_PAUSE_S", 0.1)
    site.statuses, site.retry_after = [429], "86400"
    fetch(f"{site.url}/a.bin", {})
    assert "next try in 0.1 s" in capsys.readouterr().err


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_is_given_up_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"does not answer: timed out \(try 3, the last\)$"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin", {})
    assert 0.6 <= time.monotonic() - started < 3


@pytest.mark.parametrize("host", ["127.0.0.1:9", "nobody.invalid"])  # RFC 6761: never a name
def test_without_a_network_one_knows_within_seconds(host: str) -> None:
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot be reached"):
        fetch(f"http://{host}/a.bin", {})
    assert time.monotonic() - started < 10


def test_a_server_that_takes_no_connection_is_given_up_sooner_than_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "CONNECT_S", 0.3)
    monkeypatch.setattr(connections, "UNREACHED_S", 0.2)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:  # they fill the queue, and further ones are left without an answer
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        started = time.monotonic()
        with pytest.raises(UnreachableError, match="cannot be reached: timed out"):
            fetch(f"http://127.0.0.1:{full.getsockname()[1]}/a.bin", {})
        for other in others:
            other.close()
    assert time.monotonic() - started < 2
