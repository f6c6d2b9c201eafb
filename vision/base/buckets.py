"""Files in buckets, s3:// and their like: read through fsspec, which DVC brings along."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

from vision.base.connections import MissingError, show
from vision.base.errors import SourceError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}  # that fsspec needs
PIECE_BYTES = 2**20


def is_in_bucket(url: str) -> bool:
    return urlsplit(url).scheme in PACKAGES


def open_in_bucket(url: str) -> IO[bytes]:
    """Open a file for reading. Whose keys are used is the package's affair, as for DVC's remotes.

    Raises:
        MissingError: there is no such file.
        SourceError: the package for such addresses is not installed, or the bucket refuses.
    """
    with _naming(url):
        import fsspec  # takes a moment, for few

        system, path = fsspec.url_to_fs(url)
        file: IO[bytes] = system.open(path, "rb")
        return file


def read_in_pieces(url: str, file: IO[bytes]) -> Iterator[bytes]:
    """Yield all bytes; what breaks off, the package has tried again itself."""
    while True:
        with _naming(url):
            piece = file.read(PIECE_BYTES)
        if not piece:
            return
        yield piece


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Turn what the packages raise into one line that names the address."""
    try:
        yield
    except ImportError:
        package = PACKAGES[urlsplit(url).scheme]
        raise SourceError(f"{show(url)} needs a package: pip install {package}") from None
    except FileNotFoundError:
        raise MissingError(f"{show(url)} does not exist") from None
    except Exception as error:  # each package has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"{show(url)} cannot be read: {reason}") from None
