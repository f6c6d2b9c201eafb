"""Fetch files over http(s) or from a bucket, whole and verified or not at all; mirrors come first.

A download grows as data/downloads/NAME.part, which the next try resumes where a checksum, or what
the server said of the file, can tell that the two halves belong together. It becomes NAME when it
is complete and right.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from vision.base.buckets import is_in_bucket, open_in_bucket, read_in_pieces
from vision.base.connections import (
    BrokenError,
    MissingError,
    RangeError,
    connect,
    read_pieces,
    refuse_page,
    show,
    try_repeatedly,
)
from vision.base.errors import ChecksumError, SourceError
from vision.base.part import Part, ask_for_rest, read_length, read_range
from vision.base.progress import track_bytes
from vision.base.variables import read_variable

MIRROR = "PIPELINE_MIRROR"  # environment variable: a folder or an http(s) address
DOWNLOADS_DIR = Path("data/downloads")
MAX_BYTES = 64 * 2**30
OFFICIAL_MAX_BYTES = 2**30  # the largest official file, CIFAR-10, has 170 MB
RESERVE_BYTES = 256 * 2**20  # left free on the disk

Digests = Mapping[str, str]  # of a whole file: {"sha256": hexadecimal}


@dataclass(frozen=True)
class Official:
    """A file that its publisher serves under a known checksum."""

    url: str
    digests: Digests
    stand_ins: tuple[str, ...]  # what a mirror may hold instead; `*` is for folders only
    way_out: str  # what to set in order to do without the file
    called: str = ""  # what it is called here, where its address does not end in a name of its own

    @property
    def name(self) -> str:
        return self.called or name_of(self.url)


@dataclass(frozen=True)
class Fetched:
    path: Path
    official: bool


def fetch_official(official: Official) -> Fetched:
    """Return the mirror's file, else its stand-in, else the file from the official address.

    Raises:
        ChecksumError: a file has the official name and not the official bytes.
        SourceError: it cannot be had; names the reason and the ways out.
    """
    if mirror := read_variable(MIRROR):
        if path := _find_right(mirror, official.name, official.digests):
            return Fetched(path, official=True)
        for stand_in in official.stand_ins:
            if path := _find(mirror, stand_in, {}):
                return Fetched(path, official=False)
    return Fetched(_fetch_at_source(official), official=True)


def fetch(url: str, digests: Digests, limit: int = MAX_BYTES, called: str = "") -> Path:
    """Download a file into data/downloads, unless it lies there with the right digests.

    Args:
        digests: what to verify; empty: nothing, and the file is downloaded each time.
        limit: bytes at which a longer file is refused.
        called: the name of the file here, if not that at the end of its address.

    Raises:
        ChecksumError: the server sends other bytes, twice.
        MissingError: the server has no such file.
        SourceError: it cannot be had, is too long for the limit or the disk, or is a web page.
    """
    target = DOWNLOADS_DIR / (called or name_of(url))
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):  # stages that run side by side want the same weights
        if not (digests and target.exists() and _differs(target, digests) is None):
            part = Part(target.with_name(f"{target.name}.part"))
            _download_verified(url, part, digests, limit)
            part.become(target)
    return target


def fetch_near(url: str, digests: Digests) -> Path:
    """Return the mirror's file of that name, if it has one, else the file at the address.

    Raises:
        SourceError: it cannot be had, or has other digests.
    """
    mirror = read_variable(MIRROR)
    path = _find_right(mirror, name_of(url), digests, MAX_BYTES) if mirror else None
    return path or fetch(url, digests)


def verify(path: Path, digests: Digests) -> None:
    """Raise ChecksumError unless the file has each of the digests."""
    if wrong := _differs(path, digests):
        raise ChecksumError(f"{path} has {wrong}: remove or replace it")


def require_space(folder: Path, n_bytes: int) -> None:
    """Raise SourceError unless the disk can take so many bytes more."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes + RESERVE_BYTES:
        needed = (n_bytes + RESERVE_BYTES) / 2**20
        raise SourceError(f"the disk of {folder} has {free / 2**20:,.0f} of {needed:,.0f} MiB free")


def is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def name_of(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if name in ("", "..") or not name.isprintable():
        raise SourceError(f"{show(url)} names no file")
    return name


def _fetch_at_source(official: Official) -> Path:
    try:
        return fetch(official.url, official.digests, OFFICIAL_MAX_BYTES, official.name)
    except ChecksumError:
        raise
    except SourceError as error:
        raise SourceError(
            f"{error}; connect to the network, set {MIRROR} to a folder or http(s) address that "
            f"has {official.name}, or set {official.way_out}"
        ) from None


def _find_right(
    mirror: str, name: str, digests: Digests, limit: int = OFFICIAL_MAX_BYTES
) -> Path | None:
    """Return the mirror's file of that name, if it has one; it must have the digests."""
    if path := _find(mirror, name, digests, limit):
        verify(path, digests)
    return path


def _find(mirror: str, name: str, digests: Digests, limit: int = OFFICIAL_MAX_BYTES) -> Path | None:
    """Return the mirror's file of that name, or its first that fits the pattern."""
    if is_address(mirror):
        try:
            address = f"{mirror.rstrip('/')}/{name}"
            return None if "*" in name else fetch(address, digests, limit)
        except MissingError:
            return None
    if not (folder := Path(mirror).expanduser()).is_dir():
        raise SourceError(f"{MIRROR} is {mirror!r}, neither a folder nor an http(s) address")
    return min(folder.glob(name), default=None)


def _download_verified(url: str, part: Part, digests: Digests, limit: int) -> None:
    for is_last in (False, True):  # what was resumed may have been of another file
        if is_in_bucket(url):
            _copy(url, part, limit)
        else:
            try_repeatedly(lambda: _download(url, part, digests, limit))
        if not (wrong := _differs(part.path, digests)):
            return
        part.remove()
        if is_last:
            raise ChecksumError(f"{show(url)} sent {wrong}: nothing of it was kept")


def _download(url: str, part: Part, digests: Digests, limit: int) -> None:
    """Append what `part` lacks, or all of it if the server cannot resume."""
    response, done = _open(url, part, bool(digests))
    with response:
        length = read_length(response)
        total = None if length is None else done + length
        _check_limit(url, part, total or 0, limit)
        require_space(part.path.parent, (total or 0) - done)
        done = _receive(url, response, part, done, total, limit)
    if total is not None and done != total:
        raise BrokenError(f"{show(url)} broke off after {done:,} of {total:,} bytes")


def _copy(url: str, part: Part, limit: int) -> None:
    """Write all of a file that lies in a bucket."""
    with open_in_bucket(url) as file:
        part.path.write_bytes(b"")
        size = getattr(file, "size", None)
        _append(url, part, read_in_pieces(url, file), 0, size, limit)


def _open(url: str, part: Part, is_verified: bool) -> tuple[HTTPResponse, int]:
    """Return the server's answer, and how many of the file's bytes it leaves out."""
    done, version = part.size, part.find_version(show(url))
    if done and (version or is_verified):
        with suppress(RangeError):  # the part is no part of this file
            response = connect(url, ask_for_rest(done, version))
            if response.status != 206:  # Partial Content
                return response, 0
            if read_range(response)[0] == done and (not version or version.fits(response)):
                return response, done
            response.close()
    return connect(url, {}), 0


def _receive(
    url: str, response: HTTPResponse, part: Part, done: int, total: int | None, limit: int
) -> int:
    """Write the body behind the first `done` bytes, and return how many bytes there are then."""
    if not done:
        refuse_page(url, response)
        part.path.write_bytes(b"")
        part.describe(show(url), response)
    return _append(url, part, read_pieces(url, response), done, total, limit)


def _append(
    url: str, part: Part, pieces: Iterable[bytes], done: int, total: int | None, limit: int
) -> int:
    """Write pieces behind the first `done` bytes, and return how many bytes there are then."""
    with (
        part.path.open("ab") as file,
        track_bytes(part.path.stem, total, done) as advance,
    ):
        for piece in pieces:
            done += len(piece)
            _check_limit(url, part, done, limit)
            require_space(part.path.parent, len(piece))
            file.write(piece)
            advance(len(piece))
    return done


def _check_limit(url: str, part: Part, n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        part.remove()
        raise SourceError(f"{show(url)} sends more than the limit of {limit:,} bytes")


def _differs(path: Path, digests: Digests) -> str | None:
    """Say which digest is another than expected, if any."""
    for algorithm, expected in digests.items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if not found.startswith(expected):  # some publish the first digits alone
            return f"{algorithm} {found}, not {expected}"
    return None
