"""Unpack the streams that tar archives come in: gz, bz2, xz and zst, or none."""

import bz2
import gzip
import lzma
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, cast

from vision.base.errors import ArchiveError

GZIP, BZIP2, XZ, ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


def find_zstd() -> ModuleType | None:
    """Return the standard library's reader, from Python 3.14 on, else the package's, if any."""
    for name in ("compression.zstd", "zstandard"):
        with suppress(ImportError):
            return import_module(name)
    return None


class Bounded:
    """A stream of which no more than so many bytes are read at once.

    tarfile reads long names and other headers whole, of whatever size they claim to be.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self.stream, self.most = stream, most
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise ArchiveError(f"a header of {size:,} bytes is over the limit of {self.most:,}")
        return self.stream.read(size)


_zstd = find_zstd()
PACKING_ERRORS: tuple[type[Exception], ...] = (_zstd.ZstdError,) if _zstd else ()


def open_packed(path: Path, head: bytes) -> IO[bytes]:
    """Open a file for reading what was packed into it; which packer it was, its first bytes say.

    Raises:
        ArchiveError: it is packed with zstd, which cannot be read here.
    """
    if head.startswith(GZIP):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(BZIP2):
        return cast(IO[bytes], bz2.open(path))
    if head.startswith(XZ):
        return cast(IO[bytes], lzma.open(path))
    if head.startswith(ZSTD):
        if not _zstd:
            raise ArchiveError(
                f"{path.name} is packed with zstd: pip install zstandard, or pack it as .tar.gz"
            )
        return cast(IO[bytes], _zstd.open(path, "rb"))
    return path.open("rb")
