"""Read .zip, and .tar plain or packed, from start to end, without unpacking to the disk.

No member can write outside a folder, for nothing is written; names that try to are refused all
the same, as are symbolic links, devices, encrypted members and archives that swell beyond reason.
How a tar is packed (gz, bz2, xz, zst) is told by its first bytes, see packing.py.
"""

import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import IO, cast

from vision.base.errors import ArchiveError
from vision.data.formats import HEAD_BYTES, is_html
from vision.data.packing import PACKING_ERRORS, Bounded, open_packed

MAX_MEMBERS = 2_000_000
MAX_MEMBER_BYTES = 256 * 2**20
MAX_TOTAL_BYTES = 64 * 2**30
MAX_RATIO = 200  # unpacked to packed, of the archive so far; photographs stay below 2
HARMLESS_BYTES = 32 * 2**20  # an archive that unpacks to less is no bomb at any ratio
GONE = "pack it anew"
UTF8_FLAG = 0x800  # of a zip's member: its name is UTF-8, not cp437
NEITHER = "is neither a file nor a folder: links and devices are refused"
DAMAGE: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,  # gzip.BadGzipFile too
    zlib.error,
    LZMAError,
    *PACKING_ERRORS,
    NotImplementedError,  # a compression method that zipfile lacks
    ValueError,
)


@dataclass(frozen=True)
class Member:
    name: str  # as the archive has it
    size: int  # bytes unpacked, as the archive claims
    refusal: str  # what speaks against it, or nothing
    is_folder: bool
    read: Callable[[int], bytes]  # so many bytes from its start; all for -1
    target: str = ""  # of a hard link: the clean name of the file that it is


def read_heads(path: Path) -> dict[str, bytes]:
    """Return the first bytes of each file by its name, names sorted, and check every member.

    Folders are there with a `/` at the end of their name, and without bytes.

    Raises:
        ArchiveError: naming the archive and the member that is refused.
    """
    heads: dict[str, bytes] = {}
    with _naming(path):
        for name, member in _iterate_checked(path):
            if name in heads and not member.is_folder:
                raise ArchiveError(f"{path.name}: {name!r} is there twice")
            head = b"" if member.is_folder or member.target else member.read(HEAD_BYTES)
            heads[name] = heads[member.target] if member.target else head
    return dict(sorted(heads.items()))


def read_members(path: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted files, one at a time.

    They come in the archive's order, but for hard links: these come last, from a second reading.
    """
    links = defaultdict(list)
    with _naming(path):
        for name, member in _iterate_checked(path):
            if member.target and name in wanted:
                links[member.target].append(name)
            elif name in wanted:
                yield name, member.read(-1)
        for target, member in _iterate_checked(path) if links else ():
            content = member.read(-1) if target in links else b""
            yield from ((name, content) for name in links.get(target, []))


def _iterate_checked(path: Path) -> Iterator[tuple[str, Member]]:
    """Yield each member with its clean name, once nothing speaks against it."""
    total = 0
    files: dict[str, tuple[str, int]] = {}  # the file, no link, behind each name, and its bytes
    allowed = min(MAX_TOTAL_BYTES, max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size))
    with _open(path) as members:
        for count, member in enumerate(members, start=1):
            if member.target:
                member = _follow_link(member, files)
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
            if name := _clean(member.name):
                files[name] = (member.target or name, member.size)
                yield name + "/" * member.is_folder, member


def _follow_link(member: Member, files: dict[str, tuple[str, int]]) -> Member:
    """Give a hard link the bytes of its file, which comes before it in any sound archive."""
    if member.target not in files:
        return replace(member, refusal=f"is a link to {member.target!r}, no file before it: {GONE}")
    target, size = files[member.target]
    return replace(member, target=target, size=size)


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


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
        head = file.read(HEAD_BYTES)
    if is_html(head):
        raise ArchiveError(
            f"{path.name} is an HTML page, not an archive: open its address in a browser, and "
            "download the file by hand"
        )
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as zip_file:
            yield _iterate_zip(zip_file)
        return
    with open_packed(path, head) as stream:
        bounded = cast(IO[bytes], Bounded(stream, MAX_MEMBER_BYTES))
        with tarfile.open(fileobj=bounded, mode="r:") as tar_file:
            yield _iterate_tar(tar_file)
        _read_rest(path, stream)


def _read_rest(path: Path, stream: IO[bytes]) -> None:
    """Read to the end, where gzip keeps its checksum."""
    n_bytes = 0
    while block := stream.read(2**20):
        n_bytes += len(block)
        if n_bytes > HARMLESS_BYTES:
            raise ArchiveError(
                f"{path.name} has over {HARMLESS_BYTES:,} bytes after its end: it looks like a bomb"
            )


def _iterate_zip(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        name = _decode_name(info).replace("\\", "/")  # as Windows' own makers wrote them
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the maker was not Unix
        refusal = "is encrypted" if info.flag_bits & 1 else ""
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = NEITHER
        is_folder = name.endswith("/")
        yield Member(name, info.file_size, refusal, is_folder, partial(_read_zip, archive, info))


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; many makers write UTF-8 and do not say so."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, n_bytes: int) -> bytes:
    with archive.open(info) as file:
        return file.read(n_bytes)


def _iterate_tar(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        refusal = "" if info.isreg() or info.isdir() or info.islnk() else NEITHER
        target = _clean(info.linkname) if info.islnk() else ""
        read = partial(_read_tar, archive, info)
        yield Member(info.name, info.size, refusal, info.isdir(), read, target)


def _read_tar(archive: tarfile.TarFile, info: tarfile.TarInfo, n_bytes: int) -> bytes:
    file = archive.extractfile(info)
    return file.read(n_bytes) if file else b""
