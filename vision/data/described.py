"""Files that describe images which lie elsewhere: sources/cifar10.yaml, or a user's own."""

from dataclasses import dataclass
from pathlib import Path

from vision.base.connections import show
from vision.base.errors import ParamsError
from vision.base.fetch import Digests, Official, name_of
from vision.base.params import read_yaml
from vision.base.sections import check_section
from vision.schema.data import DataParams
from vision.schema.source import PartFile, SourceFile

WAY_OUT = "data.source=sources/digits.yaml"


@dataclass(frozen=True)
class Part:
    """One archive of several that are one data set."""

    number: int  # from 1 on
    count: int  # of them all
    url: str
    digests: Digests

    @property
    def checksum(self) -> str:
        return self.digests.get("sha256") or self.digests["md5"]

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}, {show(self.url)}"


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


def list_parts(params: DataParams, root: Path = Path()) -> list[Part]:
    """Return the archives of which `data.source` says that they are one data set, if it does.

    Raises:
        ParamsError: naming the file and what is wrong in it.
    """
    path = params.locate(root)
    listed = read_source(path).parts if is_description(path) else []
    parts: dict[str, Part] = {}
    for number, values in enumerate(listed, start=1):
        file = check_section(f"{params.source}.parts.{number}", values, PartFile)
        part = Part(number, len(listed), str(file.url), file.digests)
        if other := parts.get(name := name_of(part.url)):
            raise ParamsError(
                f"{params.source}: parts {other.number} and {number} are both called {name}: "
                "downloads are found by their names"
            )
        parts[name] = part
    return [*parts.values()]
