"""Fetch the images that `data.source` names and store them as arrays, with their provenance.

Reads the source, from PIPELINE_MIRROR if that is set, and one of several archives archive by
archive; writes data/raw, see vision/data/dataset.py.
Run: python -m stages download
"""

from pathlib import Path

import PIL

from stages.declared import read_declared
from stages.loaded import LOADED
from vision.base.fingerprint import digest_value
from vision.base.kept import find_place
from vision.base.sections import load_section
from vision.data.dataset import RAW_DIR
from vision.data.described import list_parts
from vision.data.joining import save_parts
from vision.data.parts import digest_code
from vision.data.shards import CROP
from vision.data.sources import open_source
from vision.data.storing import RawImages, save_raw
from vision.schema.data import DataParams


def main() -> None:
    params = load_section("data", DataParams)
    if parts := list_parts(params):
        lines = save_parts(parts, params, digest_code(read_declared("download").deps), RAW_DIR)
    else:
        raw = open_source(params)
        lines = save_raw(raw, params.image_px, RAW_DIR, params.broken, find_kept(raw, params))
    print("\n".join(lines))


def find_kept(raw: RawImages, params: DataParams) -> Path | None:
    """Return where images are kept that were decoded before a run was ended."""
    facts = {"source": raw.provenance, "image_px": params.image_px, "Pillow": PIL.__version__}
    facts |= {} if raw.fit == CROP else {"fit": raw.fit}
    return find_place("images", LOADED | {key: digest_value(facts[key]) for key in facts})
