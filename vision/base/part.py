"""A download that is not whole yet, with what its server said of it, so that it can be resumed."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPResponse
from pathlib import Path

from vision.base.errors import DataError
from vision.base.files import read_json, write_json


@dataclass(frozen=True)
class Version:
    """By what a server's next answer can be told to be of the same file."""

    url: str  # without a password or a token
    etag: str | None
    modified: str | None
    length: int | None  # bytes

    @property
    def condition(self) -> str | None:
        """What If-Range may name (RFC 9110, 13.1.5); None: nothing says that a file is the same."""
        if self.etag and not self.etag.startswith("W/"):  # a weak one is not of the bytes
            return self.etag
        return self.modified if self.length is not None else None

    def fits(self, response: HTTPResponse) -> bool:
        """Whether a partial answer is of this file, as far as it says."""
        etag, modified = response.headers["ETag"], response.headers["Last-Modified"]
        length = read_range(response)[1]
        return (
            etag in (None, self.etag)
            and modified in (None, self.modified)
            and length in (None, self.length)
        )


@dataclass(frozen=True)
class Part:
    """NAME.part, the first bytes of a file, and NAME.part.json, the file's version."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def _version_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def describe(self, url: str, response: HTTPResponse) -> None:
        """Keep the version of a file whose first byte is about to come."""
        headers = response.headers
        version = Version(url, headers["ETag"], headers["Last-Modified"], read_length(response))
        write_json(self._version_path, asdict(version))

    def find_version(self, url: str) -> Version | None:
        """Return the version that the bytes are of, if it was kept and can be asked for."""
        try:
            version = Version(**read_json(self._version_path))
        except (OSError, DataError, TypeError):
            return None
        return version if version.url == url and version.condition else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        self.path.replace(target)
        self._version_path.unlink(missing_ok=True)


def ask_for_rest(done: int, version: Version | None) -> Mapping[str, str]:
    """Return the headers that ask for a file from a byte on; from the first, if it has changed."""
    headers = {"Range": f"bytes={done}-"}
    if version and version.condition:
        headers["If-Range"] = version.condition
    return headers


def read_length(response: HTTPResponse) -> int | None:
    """Return how many bytes the body has, if the server says so."""
    length = response.headers["Content-Length"]
    return int(length) if length and length.isdecimal() else None


def read_range(response: HTTPResponse) -> tuple[int | None, int | None]:
    """Return the first byte of a partial answer and the length of the whole, where it says them."""
    said = response.headers["Content-Range"] or ""
    if not (found := re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)):
        return None, None
    start, length = found.groups()
    return int(start), None if length == "*" else int(length)
