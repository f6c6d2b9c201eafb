import bz2
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vision.base.errors import ArchiveError
from vision.data import archives, packing
from vision.data.archives import read_heads, read_members
from vision.data.packing import find_zstd

FILES = {"b/2.txt": b"two", "a/1.txt": b"one" * 1000}


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_special(path: Path, kind: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a/special")
        info.type, info.linkname = kind, "a/1.txt"
        archive.addfile(info)
    return path


def read_all(path: Path) -> dict[str, bytes]:
    return dict(read_members(path, set(read_heads(path))))


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.tar", "w"),
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar.bz2", "w:bz2"),
        ("a.tar.xz", "w:xz"),
        ("a.tar.gz", "w:xz"),
    ],
)
def test_a_tar_is_read_as_it_was_written(tmp_path: Path, name: str, mode: str) -> None:
    assert read_all(write_tar(tmp_path / name, FILES, mode)) == FILES


def test_a_zip_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_all(write_zip(tmp_path / "a.zip", FILES)) == FILES


def test_members_are_listed_in_order_and_folders_end_in_a_slash(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("./b", tarfile.DIRTYPE), ("./a", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            archive.addfile(info)
    assert list(read_heads(tmp_path / "a.tar")) == ["a", "b/"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:\\x", "..\\x"])
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_name_that_leaves_the_archive_is_refused(
    tmp_path: Path, name: str, write: Callable[..., Path]
) -> None:
    path = write(tmp_path / "bad", {name: b""})
    with pytest.raises(ArchiveError, match=r"bad: '.*x' is a path that leaves the archive"):
        read_heads(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveError, match="'a/special' is neither a file nor a folder"):
        read_heads(write_special(tmp_path / "a.tar", kind))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16  # S_IFLNK
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link' is neither a file nor a folder"):
        read_heads(tmp_path / "a.zip")


def test_a_zip_of_windows_with_backslashes_is_read(tmp_path: Path) -> None:
    names = {"pets/cats/1.png": b"1", "pets/dogs/2.png": b"2"}
    path = write_zip(tmp_path / "a.zip", {"pets\\empty\\": b"", **names})
    path.write_bytes(path.read_bytes().replace(b"pets/cats/", b"pets\\cats\\"))
    assert list(read_heads(path)) == ["pets/cats/1.png", "pets/dogs/2.png", "pets/empty/"]
    assert dict(read_members(path, names)) == names


@pytest.mark.parametrize("encoding", ["cp437", "utf-8"])
def test_names_of_a_zip_are_read_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    name = "Vögel/é.png"
    ascii_ = "x" * len(name.encode(encoding))  # zipfile itself would set the flag of UTF-8
    path = write_zip(tmp_path / "a.zip", {ascii_: b"1"})
    path.write_bytes(path.read_bytes().replace(ascii_.encode(), name.encode(encoding)))
    assert list(read_heads(path)) == [name]


def write_links(path: Path, links: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("./a/1.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"one"))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    return path


def test_hard_links_in_a_tar_are_read(tmp_path: Path) -> None:
    path = write_links(tmp_path / "a.tgz", {"b/1.txt": "./a/1.txt", "c/1.txt": "b/1.txt"})
    assert read_all(path) == dict.fromkeys(["a/1.txt", "b/1.txt", "c/1.txt"], b"one")
    assert dict(read_members(path, {"c/1.txt"})) == {"c/1.txt": b"one"}
    assert read_heads(path)["c/1.txt"] == b"one"


@pytest.mark.parametrize("target", ["../out.txt", "/etc/passwd", "a/2.txt"])
def test_a_hard_link_out_of_a_tar_is_refused(tmp_path: Path, target: str) -> None:
    path = write_links(tmp_path / "a.tgz", {"b/1.txt": target})
    with pytest.raises(ArchiveError, match=r"'b/1.txt' is a link to .*, no file before it"):
        read_heads(path)


def test_hard_links_count_as_what_they_unpack_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 8)
    path = write_links(tmp_path / "a.tgz", {"b": "a/1.txt", "c": "a/1.txt"})
    with pytest.raises(ArchiveError, match="'c' is where it unpacks to over 8 bytes"):
        read_heads(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_packed_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 1000)
    path = write_tar(tmp_path / "bomb", {"zeros": bytes(2**23)}, mode)
    with pytest.raises(ArchiveError, match="it looks like a bomb"):
        read_heads(path)


def test_an_xz_that_claims_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_XZ_BYTES", 2**20)  # of some 9 MB that xz -6 needs
    path = write_tar(tmp_path / "a.tar.xz", FILES, "w:xz")
    with pytest.raises(ArchiveError, match=r"a\.tar\.xz needs over 1 MB of memory to unpack: pack"):
        read_heads(path)


def test_an_xz_may_be_of_several_joined(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", FILES, "w").read_bytes()
    parts = [lzma.compress(part) for part in (tar[:700], b"", tar[700:])]
    (tmp_path / "a.tar.xz").write_bytes(parts[0] + bytes(2**17) + parts[1] + parts[2] + bytes(4))
    assert read_all(tmp_path / "a.tar.xz") == FILES


def test_a_header_that_is_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2**16)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("long")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**17
        archive.addfile(info, io.BytesIO(bytes(2**17)))
    with pytest.raises(ArchiveError, match=r"a header of 131,072 bytes is over the limit of 65,53"):
        read_heads(tmp_path / "a.tgz")


def test_what_comes_after_the_end_is_no_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 2**16)
    path = write_tar(tmp_path / "a.tar", FILES, "w")
    packed = bz2.compress(path.read_bytes() + bytes(2**22))
    (tmp_path / "a.tar.bz2").write_bytes(packed)
    with pytest.raises(ArchiveError, match=r"a\.tar\.bz2 has over 65,536 bytes after its end"):
        read_heads(tmp_path / "a.tar.bz2")


def test_zstd_is_read_or_the_way_out_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, "w")
    zstd = find_zstd()
    content = zstd.compress(path.read_bytes()) if zstd else b"\x28\xb5\x2f\xfd"
    (tmp_path / "a.tar.zst").write_bytes(content)
    if zstd:
        assert read_all(tmp_path / "a.tar.zst") == FILES
    else:
        with pytest.raises(ArchiveError, match=r"a\.tar\.zst is packed with zstd: pip install"):
            read_heads(tmp_path / "a.tar.zst")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(write_zip(tmp_path / "a.zip", {"a": b"secret"}).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # flags of the central directory's entry
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="'a' is encrypted"):
        read_heads(tmp_path / "a.zip")


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_bomb_is_refused_by_its_ratio(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 1000)
    path = write(tmp_path / "bomb", {"zeros": bytes(2**22)})  # packs about 1,000 to 1
    with pytest.raises(ArchiveError, match=r"'zeros' is where it unpacks to over .* like a bomb"):
        read_heads(path)


def test_a_member_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2999)
    with pytest.raises(ArchiveError, match=r"'a/1.txt' has 3,000 bytes, over the limit of 2,999"):
        read_heads(write_tar(tmp_path / "a.tar.gz", FILES))


def test_more_members_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(ArchiveError, match=r"'a/1.txt' comes after the limit of 1 members"):
        read_heads(write_zip(tmp_path / "a.zip", FILES))


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": b"1", "./a": b"2"})
    with pytest.raises(ArchiveError, match="'a' is there twice"):
        read_heads(path)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_an_archive_cut_short_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    path, files = tmp_path / f"a.{suffix}", {"a": bytes(range(256)) * 8, "b": b"b" * 999}
    path = write_zip(path, files) if suffix == "zip" else write_tar(path, files, f"w:{suffix[4:]}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ArchiveError, match=r"a\..* is damaged"):
        read_all(path)


def test_a_flipped_byte_in_a_zip_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF  # in the first member's data
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"a\.zip is damaged"):
        read_all(path)


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not found" * 50)
    with pytest.raises(ArchiveError, match=r"text\.zip is damaged, or no \.zip or \.tar archive"):
        read_heads(tmp_path / "text.zip")


@pytest.mark.parametrize("page", ["<html>not found</html>", "\ufeff\n<!DOCTYPE HTML>\n<head>"])
def test_a_page_in_place_of_an_archive_is_named(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.zip").write_text(page * 50)
    with pytest.raises(ArchiveError, match=r"page\.zip is an HTML page, not an archive"):
        read_heads(tmp_path / "page.zip")
