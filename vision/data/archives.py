"""Read .zip, .tar, .tar.gz and .tgz from start to end, without unpacking anything to the disk.

No member can write outside a folder, for nothing is written; names that try to are refused all
the same, as are links, devices, encrypted members and archives that swell beyond reason.
"""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vision.base.errors import ArchiveError

MAX_MEMBERS = 2_000_000
MAX_MEMBER_BYTES = 256 * 2**20
MAX_TOTAL_BYTES = 64 * 2**30
MAX_RATIO = 200  # unpacked to packed, of the archive so far; photographs stay below 2
HARMLESS_BYTES = 32 * 2**20  # an archive that unpacks to less is no bomb at any ratio
NEITHER = "is neither a file nor a folder: links and devices are refused"
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,  # gzip.BadGzipFile too
    zlib.error,
    NotImplementedError,  # a compression method that zipfile lacks
    ValueError,
)


@dataclass(frozen=True)
class Member:
    name: str  # as the archive has it
    size: int  # bytes unpacked, as the archive claims
    refusal: str  # what speaks against it, or nothing
    is_folder: bool
    read: Callable[[], bytes]


def list_members(path: Path) -> list[str]:
    """Return the names of all files, and of folders with a `/` at the end; check every member.

    Raises:
        ArchiveError: naming the archive and the member that is refused.
    """
    names: set[str] = set()
    with _naming(path):
        for name, member in _iterate_checked(path):
            if name in names and not member.is_folder:
                raise ArchiveError(f"{path.name}: {name!r} is there twice")
            names.add(name)
    return sorted(names)


def read_members(path: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted files, in the archive's order, one at a time."""
    with _naming(path):
        for name, member in _iterate_checked(path):
            if name in wanted:
                yield name, member.read()


def _iterate_checked(path: Path) -> Iterator[tuple[str, Member]]:
    """Yield each member with its clean name, once nothing speaks against it."""
    total = 0
    allowed = min(MAX_TOTAL_BYTES, max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size))
    with _open(path) as members:
        for count, member in enumerate(members, start=1):
            total += member.size
            refusal = member.refusal or _refuse_name(member.name)
            if count > MAX_MEMBERS:
                refusal = f"comes after the limit of {MAX_MEMBERS:,} members"
            elif member.size > MAX_MEMBER_BYTES:
                refusal = f"has {member.size:,} bytes, over the limit of {MAX_MEMBER_BYTES:,}"
            elif total > allowed:
                refusal = f"is where it unpacks to over {allowed:,} bytes: it looks like a bomb"
            if refusal:
                raise ArchiveError(f"{path.name}: {member.name!r} {refusal}")
            if name := "/".join(part for part in member.name.split("/") if part not in ("", ".")):
                yield name + "/" * member.is_folder, member


def _refuse_name(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    leaves = parts[0] == "" or parts[0].endswith(":") or ".." in parts
    return "is a path that leaves the archive" if leaves else ""


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the readers raise on damage into one line that names the archive."""
    try:
        yield
    except DAMAGE as error:
        raise ArchiveError(f"{path.name} is damaged, or no .zip or .tar archive: {error}") from None


@contextmanager
def _open(path: Path) -> Iterator[Iterator[Member]]:
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"PK":
        with zipfile.ZipFile(path) as zip_file:
            yield _iterate_zip(zip_file)
        return
    with gzip.open(path) if magic == b"\x1f\x8b" else path.open("rb") as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar_file:
            yield _iterate_tar(tar_file)
        while stream.read(2**20):  # to the end, where gzip keeps its checksum
            pass


def _iterate_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the maker was not Unix
        refusal = "is encrypted" if info.flag_bits & 1 else ""
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = NEITHER
        read = partial(archive.read, info)
        yield Member(info.filename, info.file_size, refusal, info.is_dir(), read)


def _iterate_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        refusal = "" if info.isreg() or info.isdir() else NEITHER
        yield Member(info.name, info.size, refusal, info.isdir(), partial(_read_tar, archive, info))


def _read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    return file.read() if file else b""
