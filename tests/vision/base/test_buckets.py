"""A bucket is stood in for by a file system of fsspec's that lies in memory."""

import hashlib
import sys
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from vision.base.connections import MissingError
from vision.base.errors import ChecksumError, SourceError
from vision.base.fetch import fetch
from vision.schema.source import SourceFile

URL, CONTENT = "s3://photos/2026/pets.zip", bytes(range(256)) * 9000  # over two pieces
DIGESTS = {"sha256": hashlib.sha256(CONTENT).hexdigest()}


class Bucket(MemoryFileSystem):
    protocol = "s3"
    store: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("s3://")))


@pytest.fixture(autouse=True)
def bucket(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setitem(_registry, "s3", Bucket)
    bucket: Bucket = fsspec.filesystem("s3")
    bucket.pipe_file("photos/2026/pets.zip", CONTENT)
    return bucket


def test_a_file_in_a_bucket_is_fetched_once(bucket: Bucket) -> None:
    described = SourceFile(url=URL, **DIGESTS)
    assert fetch(str(described.url), described.digests) == Path("data/downloads/pets.zip")
    assert Path("data/downloads/pets.zip").read_bytes() == CONTENT
    bucket.rm_file("photos/2026/pets.zip")
    assert fetch(URL, DIGESTS) == Path("data/downloads/pets.zip")
    with pytest.raises(MissingError, match=f"{URL} does not exist"):
        fetch(URL, {})


def test_a_file_in_a_bucket_is_verified() -> None:
    with pytest.raises(ChecksumError, match=f"{URL} sent sha256"):
        fetch(URL, {"sha256": "0" * 64})
    with pytest.raises(SourceError, match="sends more than the limit of 9 bytes"):
        fetch(URL, {}, limit=9)
    assert [path.suffix for path in Path("data/downloads").iterdir()] == [".lock"]


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_package_that_is_missing_is_named(
    scheme: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(_registry, scheme, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=f"{scheme}://a/b.zip needs .*: pip install {package}"):
        fetch(f"{scheme}://a/b.zip", {})
