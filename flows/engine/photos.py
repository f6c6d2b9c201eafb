"""What changed among photos since `download` last stored them, and what is decoded already."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dvc.output import Output
from dvc.stage import PipelineStage

from flows.engine.forecast import find_cached, list_folder
from vision.base.errors import PipelineError
from vision.base.files import read_json
from vision.base.sections import check_section
from vision.data.dataset import FILES, MANIFEST, RAW_DIR
from vision.data.described import list_parts
from vision.data.parts import digest_code, find_kept, name_part, read_listing
from vision.data.surveys import show
from vision.data.trees import open_labelled_tree, open_tree
from vision.schema.data import DataParams


def describe_parts(deps: Iterable[str], params: Mapping[str, Any], root: Path, kept: Path) -> str:
    """Say how many archives of a source of several are decoded already; "" of other sources.

    Args:
        deps: of `download`.
        root: where its code and the source are.
        kept: the project, below which results are kept.
    """
    data = check_section("data", params["data"], DataParams)
    if not (parts := list_parts(data, root)):
        return ""
    code = digest_code(deps, root)
    places = [find_kept(name_part(part, data, code), kept) for part in parts]
    n_there = sum(1 for place in places if place and read_listing(place))
    return f"{n_there} of {len(parts)} parts are decoded already"


class Photo(NamedTuple):
    md5: str
    label: str


def describe_photos(
    stage: PipelineStage, dep: Output, params: Mapping[str, Any], root: Path
) -> str:
    """Return what changed in words, such as `12 photos more, 1 replaced`; "" if it is not known.

    Args:
        stage: that reads the photos, with its outs as dvc.lock has them.
        dep: the folder.
        params: of the pipeline.
    """
    raw = [out for out in stage.outs if out.def_path == RAW_DIR.as_posix()]
    if not (raw and Path(dep.fs_path).is_dir()):
        return ""
    table, manifest = (
        find_cached(raw[0], (name,)) or root / RAW_DIR / name for name in (FILES, MANIFEST)
    )
    try:
        before, now = dict(_read_table(table)), dict(_list_photos(dep, params))
        for name in read_json(manifest).get("skipped", {}).get("names", []):
            now.pop(name, None)  # nothing is known of it
    except (OSError, PipelineError, KeyError):  # nothing is stored yet, or `download` will say why
        return ""
    return compare_photos(before, now)


def compare_photos(before: Mapping[str, Photo], now: Mapping[str, Photo]) -> str:
    """Say how photos, by their files' names, differ: files that were moved count once."""
    gone = Counter(before[name] for name in before.keys() - now.keys())
    new = Counter(now[name] for name in now.keys() - before.keys())
    renamed = gone & new
    old_bytes = Counter(photo.md5 for photo in (gone - renamed).elements())
    new_bytes = Counter(photo.md5 for photo in (new - renamed).elements())
    moved = old_bytes & new_bytes
    both = [(before[name], now[name]) for name in before.keys() & now.keys()]
    replaced = sum(old.md5 != photo.md5 for old, photo in both)
    relabelled = sum(old.label != photo.label for old, photo in both) + moved.total()
    counts = {
        "more": (new_bytes - moved).total(),
        "fewer": (old_bytes - moved).total(),
        "replaced": replaced,
        "renamed": renamed.total(),
        "of another class": relabelled,
    }
    found = [(count, word) for word, count in counts.items() if count]
    return ", ".join(
        f"{count:,} {'' if place else 'photos ' if count > 1 else 'photo '}{word}"
        for place, (count, word) in enumerate(found)
    )


def _read_table(path: Path) -> Iterator[tuple[str, Photo]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["file"], Photo(row["md5"], row["label"])


def _list_photos(dep: Output, params: Mapping[str, Any]) -> Iterator[tuple[str, Photo]]:
    data = DataParams.model_validate(params["data"])
    path = Path(dep.fs_path)
    skip = data.broken == "skip"
    tree = open_labelled_tree(path, data.labels, skip=skip) if data.labels else open_tree(path)
    md5s = {"/".join(key): hash_info.value for key, _, hash_info in list_folder(dep)}
    for place in tree.places:
        yield show(place.name), Photo(md5s[place.name] or "", place.class_name)
