"""Files that describe images which lie elsewhere: sources/cifar10.yaml, or a user's own."""

from pathlib import Path

from vision.base.fetch import Official
from vision.base.params import read_yaml
from vision.base.sections import check_section
from vision.schema.source import SourceFile

WAY_OUT = "data.source=sources/digits.yaml"


def is_description(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and path.is_file()


def read_source(path: Path) -> SourceFile:
    """Read a file that describes images.

    Raises:
        ParamsError: naming the file and the key that is wrong.
    """
    return check_section(str(path), read_yaml(path), SourceFile)


def to_official(source: SourceFile) -> Official:
    """Return what `fetch_official` looks for; the source has a url."""
    return Official(str(source.url), source.digests, tuple(source.stand_ins), WAY_OUT)
