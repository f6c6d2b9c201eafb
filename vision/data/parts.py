"""One archive of several that are one data set: fetched, decoded, and kept by itself.

data/checkpoints/part-CHECKSUM-KEY/    KEY is of all that decides what is decoded
    pixels, rows    of its images, in the order of their names: see unfinished.py
    listing.json    what the archive holds, and what of it cannot be read; comes last

So a run that is killed goes on, and another part costs no more than its own decoding. Which other
parts there are changes none; joining.py makes one data set of them.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock

from vision.base.errors import PipelineError, SourceError
from vision.base.fetch import DOWNLOADS_DIR, fetch_near, require_space
from vision.base.files import read_json, sha256_of, write_text
from vision.base.fingerprint import KEY_DIGITS, digest_value, find_decisive
from vision.base.kept import drop_older, find_place
from vision.data.archives import read_members
from vision.data.decoding import Decoded, decode_files
from vision.data.described import Part
from vision.data.formats import HEIC, HEIC_PACKAGE, can_read_heic
from vision.data.images import FULL_BITS
from vision.data.trees import find_packed_table, list_heads, sort_files
from vision.data.unfinished import MISSING, ROW, Unfinished, open_unfinished
from vision.schema.data import DataParams

PIXELS, ROWS, LISTING = FILES = ("pixels", "rows", "listing.json")  # the last one comes last
CHECKSUM_DIGITS = 12
UNREAD = f"pip install {HEIC_PACKAGE}"  # why photos in HEIC are not decoded


@dataclass(frozen=True)
class Listing:
    """What an archive holds."""

    sha256: str
    rows_sha256: str  # of the file `rows`
    images: dict[str, str]  # name and format of each, sorted
    others: list[str]  # files that are no images
    folders: list[str]  # with a `/` at the end
    faults: dict[str, str]  # why some images cannot be read, by name
    table: tuple[str, str] | None  # name and content, in base64, of the table of labels


@dataclass(frozen=True)
class Kept:
    """A part that is decoded."""

    part: Part
    place: Path
    listing: Listing
    image_px: int

    @cached_property
    def rows(self) -> np.ndarray:
        """What is known of each image: (n,) ROW, in the order of the names."""
        return np.fromfile(self.place / ROWS, ROW)

    @property
    def table(self) -> tuple[str, bytes] | None:
        """Name and content of the table of labels, where this part has it."""
        found = self.listing.table
        return (found[0], b64decode(found[1])) if found else None

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of rows, (n,): (n, P, P, 3) uint8."""
        with (self.place / PIXELS).open("rb", buffering=0) as pixels:
            return Unfinished(self.rows, pixels.fileno(), self.image_px).read(rows)

    def decode(self, rows: Mapping[str, int], bits: int, fit: str) -> Iterator[Decoded]:
        """Decode images anew, from the archive: those of more than 8 bits, once all are known.

        Args:
            rows: of their names.
            bits: that hold the values of them all.
        """
        with naming(self.part):
            archive = fetch_near(self.part.url, self.part.digests)
            yield from decode_files(read_members(archive, rows), rows, self.image_px, bits, fit)


def digest_code(deps: Iterable[str], root: Path = Path()) -> dict[str, str]:
    """Return what the code among the deps of `download` means, by file."""
    return find_decisive((dep for dep in deps if dep.endswith(".py")), {}, root=root)


def name_part(part: Part, params: DataParams, code: Mapping[str, str]) -> str:
    """Return under what name a part is kept: the same on all machines.

    Args:
        code: see `digest_code`.
    """
    facts = params.model_dump(include={"image_px", "fit", "labels"})
    facts |= {"archive": part.checksum, "Pillow": PIL.__version__}
    decisive = {**code, **{name: digest_value(fact) for name, fact in facts.items()}}
    key = hashlib.sha256(repr(sorted(decisive.items())).encode()).hexdigest()[:KEY_DIGITS]
    return f"part-{part.checksum[:CHECKSUM_DIGITS]}-{key}"


def find_kept(name: str, root: Path = Path()) -> Path | None:
    """Return where a part of such a name is kept, or would be; None if nothing is kept.

    Args:
        root: the project, where PIPELINE_CHECKPOINTS names no other folder.
    """
    place = find_place("part", {}, root)
    return place.with_name(name) if place else None


def decode_part(part: Part, params: DataParams, place: Path) -> Kept:
    """Fetch and decode a part, as far as it is not there already.

    Raises:
        PipelineError: it cannot be had or read; in one line, with its address.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with naming(part), FileLock(place.with_name(f".{place.name}.lock")):
        drop_older(place)
        listing, how = read_listing(place), "kept from before"
        if not (listing and _is_whole(place, listing, params.image_px)):
            listing, how = _decode(part, params, place), "decoded"
        place.touch()  # what is used last is dropped last
    print(f"{part}: {len(listing.images):,} images, {how}", flush=True)
    return Kept(part, place, listing, params.image_px)


def read_listing(place: Path) -> Listing | None:
    """Return what a part holds; None where it is not kept, or not whole."""
    try:
        return Listing(**read_json(place / LISTING))
    except (OSError, PipelineError, TypeError):
        return None


@contextmanager
def naming(part: Part) -> Iterator[None]:
    """Say of what goes wrong in which part it does."""
    try:
        yield
    except PipelineError as error:
        why = str(error)
        where = str(part).removesuffix(f", {why.partition(' ')[0]}")  # which names its address
        raise SourceError(f"{where}: {why}") from None


def _is_whole(place: Path, listing: Listing, image_px: int) -> bool:
    """Say whether all images that can be read are there, undamaged; what is not is forgotten."""
    if can_read_heic() and UNREAD in listing.faults.values():
        return False
    names = [*listing.images]
    if not (rows := place / ROWS).exists() or sha256_of(rows) != listing.rows_sha256:
        rows.unlink(missing_ok=True)
        return False
    with open_unfinished(place, len(names), image_px) as images:
        return {names[row] for row in images.find(MISSING)} == listing.faults.keys()


def _decode(part: Part, params: DataParams, place: Path) -> Listing:
    archive = fetch_near(part.url, part.digests)
    heads = list_heads(archive)
    formats, others = sort_files(heads, archive.name)
    names, faults = [*formats], _refuse_heic(formats)
    place.mkdir(exist_ok=True)
    (place / LISTING).unlink(missing_ok=True)
    held = sum(file.stat().st_size for file in place.iterdir())
    require_space(place, len(names) * (params.image_px**2 * 3 + ROW.itemsize) - held)
    with open_unfinished(place, len(names), params.image_px) as images:
        missing = {names[row]: row for row in images.find(MISSING).tolist()}
        wanted = {name: row for name, row in missing.items() if name not in faults}
        members = read_members(archive, wanted)
        decoded = decode_files(members, wanted, params.image_px, FULL_BITS, params.fit)
        broken = images.take(decoded, archive.name, len(wanted))
        is_deep = bool(images.rows["peak"].any())
    faults |= {names[row]: why for row, why in broken.items()}
    folders = [name for name in heads if name.endswith("/")]
    table = _pack(find_packed_table(archive, params.labels, heads)) if params.labels else None
    sums = sha256_of(archive), sha256_of(place / ROWS)
    listing = Listing(*sums, formats, others, folders, faults, table)
    write_text(place / LISTING, json.dumps(asdict(listing)))  # in ASCII: names may be no Unicode
    if archive.parent == DOWNLOADS_DIR and not is_deep:
        archive.unlink(missing_ok=True)  # one machine may not hold all archives
    return listing


def _refuse_heic(formats: Mapping[str, str]) -> dict[str, str]:
    """Return the photos in HEIC, where they cannot be decoded, and why."""
    unread = [] if can_read_heic() else [name for name, kind in formats.items() if kind == HEIC]
    return dict.fromkeys(unread, UNREAD)


def _pack(table: tuple[str, bytes] | None) -> tuple[str, str] | None:
    return (table[0], b64encode(table[1]).decode()) if table else None
