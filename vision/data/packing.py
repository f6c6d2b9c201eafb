"""Unpack the streams that tar archives come in: gz, bz2, xz and zst, or none."""

import bz2
import gzip
import io
import lzma
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, cast

from vision.base.errors import ArchiveError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_XZ_BYTES = 512 * 2**20  # of memory that an .xz may claim; xz -9 needs 65 MB
PIECE_BYTES = 2**16
PACK_ANEW = "pack it anew with xz -6"
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


class XzReader(io.RawIOBase):
    """What was packed into an .xz, read forwards; lzma.open knows no limit for its memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.file, self.place = path, path.open("rb"), 0
        self.unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ_BYTES)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or place < self.place:
            raise io.UnsupportedOperation("an .xz is read forwards")
        while self.place < place and self.read(min(place - self.place, PIECE_BYTES)):
            pass
        return self.place

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        while not (unpacked := self._unpack(len(view))):
            if self.unpacker.eof and not self._start_next():
                return 0
        view[: len(unpacked)] = unpacked
        self.place += len(unpacked)
        return len(unpacked)

    def close(self) -> None:
        self.file.close()
        super().close()

    def _unpack(self, most: int) -> bytes:
        if self.unpacker.eof:
            return b""
        packed = self.file.read(PIECE_BYTES) if self.unpacker.needs_input else b""
        if self.unpacker.needs_input and not packed:
            raise EOFError("it ends too early")
        try:
            return self.unpacker.decompress(packed, most)
        except lzma.LZMAError as error:
            if "Memory usage limit" not in str(error):
                raise
            limit = MAX_XZ_BYTES // 2**20
            raise ArchiveError(
                f"{self.path.name} needs over {limit} MB of memory to unpack: {PACK_ANEW}"
            ) from None

    def _start_next(self) -> bool:
        """Go on with the next stream of the file, if there is one behind the padding."""
        rest = self.unpacker.unused_data.lstrip(b"\0")
        while not rest and (packed := self.file.read(PIECE_BYTES)):
            rest = packed.lstrip(b"\0")
        if rest:
            self.file.seek(-len(rest), io.SEEK_CUR)
            self.unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ_BYTES)
        return bool(rest)


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
        return io.BufferedReader(XzReader(path))
    if head.startswith(ZSTD):
        if not _zstd:
            raise ArchiveError(
                f"{path.name} is packed with zstd: pip install zstandard, or pack it as .tar.gz"
            )
        return cast(IO[bytes], _zstd.open(path, "rb"))
    return path.open("rb")
