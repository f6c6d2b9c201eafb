"""Decode one part of the source, for a later `download` to find it: on this or another machine.

Reads the archive of that number in the file that `data.source` names; writes into data/checkpoints.
Run: python -m stages.part 3
"""

import sys
from functools import partial

from stages.runner import run_stage  # isort: skip - before vision
from stages.declared import read_declared
from vision.base.errors import ParamsError
from vision.base.sections import load_section
from vision.data.described import list_parts
from vision.data.parts import decode_part, digest_code, find_kept, name_part
from vision.schema.data import DataParams

STAGE = "download"  # whose params and code decide


def main(number: int) -> None:
    params = load_section("data", DataParams)
    parts = list_parts(params)
    if not 1 <= number <= len(parts):
        raise ParamsError(f"{params.source} has {len(parts)} parts, and none of number {number}")
    part = parts[number - 1]
    place = find_kept(name_part(part, params, digest_code(read_declared(STAGE).deps)))
    if not place:
        raise ParamsError("PIPELINE_CHECKPOINTS is set to nothing: there is no place for a part")
    decode_part(part, params, place)


def read_number(words: list[str]) -> int:
    """Return the number that is typed; 0, which no part has, for anything else."""
    return int(words[0]) if len(words) == 1 and words[0].isdecimal() else 0


if __name__ == "__main__":
    decode = partial(main, read_number(sys.argv[1:]))
    sys.exit(run_stage([STAGE], load=lambda _: decode, worker=True))
