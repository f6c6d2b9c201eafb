"""Fetch the images that `data.source` names and store them as arrays, with their provenance.

Reads the source, by way of MIRROR where that is set; writes data/raw, see vision/data/dataset.py.
Run: python -m stages.download
"""

import sys

from stages.runner import run_stage
from vision.base.params import load_section
from vision.data.dataset import RAW_DIR
from vision.data.sources import open_source
from vision.data.storing import save_raw
from vision.schema.data import DataParams


def main() -> None:
    params = load_section("data", DataParams)
    raw = open_source(params)
    print("\n".join(save_raw(raw, params.image_px, RAW_DIR, params.broken)))


if __name__ == "__main__":
    sys.exit(run_stage("download", main, sys.argv[1:]))
