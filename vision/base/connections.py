"""One request over http(s): what its failure means, and whether another try may mend it."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from vision.base.errors import SourceError

CONNECT_S = 5.0  # to reach each address of a server; one that is up answers in less
TIMEOUT_S = 40.0  # to its first byte, and between two reads
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before the second try, the third, ...
LONGEST_PAUSE_S = 60.0  # that a server may ask for
UNREACHED_S = 4.0  # to fail to reach a server; if it takes longer, once is enough
PIECE_BYTES = 2**18
PAGE_TYPES = ("text/html", "application/xhtml+xml")
PEEK_BYTES = 64  # to tell a page from another file that is sent as one

T = TypeVar("T")


class MissingError(SourceError):
    """The server answers, but has no such file."""


class RangeError(SourceError):
    """The server has no bytes from there on."""


class BrokenError(SourceError):
    """The download failed in a way that another try may mend."""

    pause_s = 0.0  # that the server asks for


class UnreachableError(BrokenError):
    """There is no such server, or it takes no connection."""


class _Connection(HTTPConnection):
    """A connection that is quicker to give up a server that is not there than a slow answer."""

    def connect(self) -> None:
        patience, self.timeout = self.timeout, CONNECT_S
        super().connect()
        self.sock.settimeout(patience)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Handler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Connection, req)


class _SecureHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, req)


def connect(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    """Ask for a file, and return the server's answer as soon as its head is there.

    Raises:
        MissingError, RangeError, UnreachableError, BrokenError, SourceError: see there; the
            message names the address without a password or a token.
    """
    agent = {"User-Agent": "traceable-image-classifier"}
    try:
        request = Request(url, headers={**agent, **headers})
        opener = build_opener(_Handler, _SecureHandler)
        response: HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            raise _explain(url, error) from None
    except URLError as error:
        raise UnreachableError(f"{show(url)} cannot be reached: {error.reason}") from None
    except (InvalidURL, ValueError) as error:
        raise SourceError(f"{show(url)} cannot be reached: {error}") from None
    except (OSError, HTTPException) as error:
        raise BrokenError(f"{show(url)} does not answer: {error}") from None
    return response


def refuse_page(url: str, response: HTTPResponse) -> None:
    """Raise SourceError if the server sends a page to be looked at, such as one to log in."""
    kind = response.headers.get_content_type()
    if kind not in PAGE_TYPES:
        return
    with _naming(url):
        start = response.peek(PEEK_BYTES)
    if start.lstrip(b"\xef\xbb\xbf\t\r\n ").startswith(b"<"):
        where = f", {show(response.url)}," if show(response.url) != show(url) else ""
        raise SourceError(
            f"{show(url)} leads to a web page{where} ({kind}), not to a file: "
            "give an address that needs no login and is the file's own, or download it by hand"
        )


def read_pieces(url: str, response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it comes; what came before it broke off is yielded too."""
    while True:
        with _naming(url):
            piece = response.read1(PIECE_BYTES)
        if not piece:
            return
        yield piece


def try_repeatedly(task: Callable[[], T]) -> T:
    """Call until it succeeds, with growing pauses after each BrokenError.

    A server that cannot be reached is tried once more at most, so that those who work without a
    network know within seconds.
    """
    was_unreachable = False
    for pause_s in PAUSES_S:
        started = time.monotonic()
        try:
            return task()
        except BrokenError as error:
            is_unreachable = isinstance(error, UnreachableError)
            took_long = time.monotonic() - started > UNREACHED_S
            if is_unreachable and (was_unreachable or took_long):
                raise
            was_unreachable |= is_unreachable
            wanted_s = max(pause_s, min(error.pause_s, LONGEST_PAUSE_S))
            print(f"{error}; next try in {wanted_s:g} s", file=sys.stderr)
            time.sleep(wanted_s)
    try:
        return task()
    except BrokenError as error:
        raise BrokenError(f"{error} (try {len(PAUSES_S) + 1}, the last)") from None


def show(url: str) -> str:
    """Return the address without a password or a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Turn what breaks a body off into a BrokenError that names the address."""
    try:
        yield
    except (OSError, HTTPException) as error:
        raise BrokenError(f"{show(url)} broke off: {error}") from None


def _explain(url: str, error: HTTPError) -> SourceError:
    message = f"{show(url)} answers {error.code} {error.reason}"
    if error.code in (403, 404, 410):
        return MissingError(message)
    if error.code == 416:
        return RangeError(message)
    if error.code in (408, 429) or error.code >= 500:
        broken = BrokenError(message)
        if re.fullmatch(r"\d{1,6}", asked := error.headers.get("Retry-After", "")):
            broken.pause_s = float(asked)
        return broken
    return SourceError(message)
