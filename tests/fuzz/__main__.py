"""Run many cases, for a night: python -m tests.fuzz --runs 500 --seed 1

Prints a line for each fault, with the seed that repeats its case: --runs 1 --seed SEED.
Every third case is a sequence of two or three changes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz.cases import choose_kinds, environment, make_base, run_case
from tests.warm import start_warm_commands

LENGTHS = (1, 1, 2, 1, 1, 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="of the first case")
    parser.add_argument("--minutes", type=float, default=600, help="begin no case after these")
    options = parser.parse_args()
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.runs)
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        environment(Path(folder)),
        start_warm_commands(),
    ):
        found = [*run_cases(Path(folder), seeds, began + 60 * options.minutes)]
    minutes = (time.monotonic() - began) / 60
    failed = sum(map(bool, found))
    print(f"{len(found)} cases from seed {options.seed} in {minutes:.0f} min: {failed} failed")
    return 1 if failed else 0


def run_cases(home: Path, seeds: Iterable[int], until: float) -> Iterator[list[str]]:
    """Yield the faults of each case, and print them."""
    base = make_base(home / "base")
    for seed in seeds:
        if time.monotonic() > until:
            return
        kinds = choose_kinds(seed, LENGTHS[seed % len(LENGTHS)])
        faults = run_case(base, home / "case", seed, kinds)
        for fault in faults:
            print(f"seed {seed}: {fault}", flush=True)
        yield faults


if __name__ == "__main__":
    sys.exit(main())
