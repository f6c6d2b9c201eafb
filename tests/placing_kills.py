"""Kill what takes part in placing a stage, at as many moments as a night has room for.

Run: python -m tests.placing_kills --runs 20 --seed 1
"""

import argparse
import sys

import pytest

from tests.projects import ROOT

TESTS = ROOT / "tests/flows/placing/test_kills.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="moments for each thing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="worker, sender, prefect or remote; see -k")
    given = parser.parse_args()
    options = ["--kills", str(given.runs), "--kill-seed", str(given.seed)]
    limit = ["-o", "faulthandler_timeout=0"]
    return pytest.main([str(TESTS), "-k", given.only, "--verbose", *options, *limit])


if __name__ == "__main__":
    sys.exit(main())
