"""Fetch files over http(s), whole and verified or not at all; a mirror is asked first.

A download grows as data/downloads/NAME.part, which the next try resumes where a checksum can
tell that the two halves belong together, and becomes NAME when it is complete and right.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

from vision.base.errors import ChecksumError, SourceError
from vision.base.progress import track_bytes

DOWNLOADS_DIR = Path("data/downloads")
TIMEOUT_S = 5.0  # to connect, and between two reads
TRIES = 2
MAX_BYTES = 64 * 2**30
OFFICIAL_MAX_BYTES = 2**30  # the largest official file, CIFAR-10, has 170 MB
CHUNK_BYTES = 2**20
RESERVE_BYTES = 256 * 2**20  # left free on the disk

Digests = Mapping[str, str]  # of a whole file: {"sha256": hexadecimal}


@dataclass(frozen=True)
class Official:
    """A file that its publisher serves under a known checksum."""

    url: str
    digests: Digests
    stand_ins: tuple[str, ...]  # what a mirror may hold instead; `*` is for folders only
    way_out: str  # what to set in order to do without the file


@dataclass(frozen=True)
class Fetched:
    path: Path
    official: bool


class MissingError(SourceError):
    """The server answers, but has no such file."""


class BrokenError(SourceError):
    """The download failed in a way that another try may mend."""


def fetch_official(official: Official) -> Fetched:
    """Return the file from MIRROR, else the mirror's stand-in, else from the official address.

    Raises:
        ChecksumError: a file has the official name and not the official bytes.
        SourceError: it cannot be had; names the reason and the ways out.
    """
    if mirror := os.environ.get("MIRROR"):
        name = name_of(official.url)
        if path := _find(mirror, name, official.digests):
            verify(path, official.digests)
            return Fetched(path, official=True)
        for stand_in in official.stand_ins:
            if path := _find(mirror, stand_in, {}):
                return Fetched(path, official=False)
    return Fetched(_fetch_at_source(official), official=True)


def fetch(url: str, digests: Digests, limit: int = MAX_BYTES) -> Path:
    """Download a file into data/downloads, unless it lies there with the right digests.

    Args:
        digests: what to verify; empty: nothing, and the file is downloaded each time.
        limit: bytes at which a longer file is refused.
    """
    target = DOWNLOADS_DIR / name_of(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):  # stages that run side by side want the same weights
        if not (digests and target.exists() and _differs(target, digests) is None):
            part = target.with_name(f"{target.name}.part")
            _download_verified(url, part, digests, limit)
            part.replace(target)
    return target


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
        raise SourceError(f"{_show(url)} names no file")
    return name


def _fetch_at_source(official: Official) -> Path:
    try:
        return fetch(official.url, official.digests, OFFICIAL_MAX_BYTES)
    except ChecksumError:
        raise
    except SourceError as error:
        raise SourceError(
            f"{error}; connect to the network, set MIRROR to a folder or http(s) address that has "
            f"{name_of(official.url)}, or set {official.way_out}"
        ) from None


def _find(mirror: str, name: str, digests: Digests) -> Path | None:
    """Return the mirror's file of that name, or its first that fits the pattern."""
    if is_address(mirror):
        try:
            address = f"{mirror.rstrip('/')}/{name}"
            return None if "*" in name else fetch(address, digests, OFFICIAL_MAX_BYTES)
        except MissingError:
            return None
    if not (folder := Path(mirror).expanduser()).is_dir():
        raise SourceError(f"MIRROR is {mirror!r}, neither a folder nor an http(s) address")
    return min(folder.glob(name), default=None)


def _download_verified(url: str, part: Path, digests: Digests, limit: int) -> None:
    for tries_left in reversed(range(TRIES)):
        if not digests:
            part.unlink(missing_ok=True)
        try:
            _download(url, part, limit)
            if wrong := _differs(part, digests):
                part.unlink()
                raise ChecksumError(f"{_show(url)} sent {wrong}: nothing of it was kept")
        except (BrokenError, ChecksumError):
            if not tries_left:
                raise
        else:
            return


def _download(url: str, part: Path, limit: int) -> None:
    """Append what `part` lacks, or all of it if the server cannot resume."""
    done = part.stat().st_size if part.exists() else 0
    with _open(url, done) as response:
        resumed = response.status == 206  # Partial Content
        done = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and length.isdigit() else None
        _check_limit(url, part, total or 0, limit)
        require_space(part.parent, (total or 0) - done)
        with (
            part.open("ab" if resumed else "wb") as file,
            track_bytes(part.stem, total, done) as advance,
        ):
            try:
                while chunk := response.read(CHUNK_BYTES):
                    done += len(chunk)
                    _check_limit(url, part, done, limit)
                    require_space(part.parent, len(chunk))
                    file.write(chunk)
                    advance(len(chunk))
            except (OSError, HTTPException) as error:
                raise BrokenError(f"{_show(url)} broke off: {error}") from None
    if total is not None and done != total:
        raise BrokenError(f"{_show(url)} broke off after {done:,} of {total:,} bytes")


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "traceable-image-classifier"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
        return response
    except HTTPError as error:
        if error.code == 416 and start:  # Range Not Satisfiable: the part is no part of this file
            return _open(url, start=0)
        kind = MissingError if error.code in (403, 404, 410) else BrokenError
        raise kind(f"{_show(url)} answers {error.code} {error.reason}") from None
    except URLError as error:
        raise SourceError(f"{_show(url)} cannot be reached: {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise SourceError(f"{_show(url)} cannot be reached: {error}") from None


def _check_limit(url: str, part: Path, n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        part.unlink(missing_ok=True)
        raise SourceError(f"{_show(url)} sends more than the limit of {limit:,} bytes")


def _differs(path: Path, digests: Digests) -> str | None:
    """Say which digest is another than expected, if any."""
    for algorithm, expected in digests.items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != expected:
            return f"{algorithm} {found}, not {expected}"
    return None


def _show(url: str) -> str:
    """Return the address without a password or a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
