"""Say at the end of a test run which tests did not run, why, and how to get what they need."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest


def skip_without(need: str, way: str) -> NoReturn:
    """Skip the test that asks.

    Args:
        need: what it needs and has not, such as Chromium.
        way: how to get it.
    """
    pytest.skip(f"without {need}: {way}")


def show_skips(reporter: pytest.TerminalReporter) -> None:
    """Write a section about the tests that were skipped, if any were."""
    skipped = reporter.stats.get("skipped", [])
    if skipped:
        reporter.write_sep("=", "tests that did not run", yellow=True)
        for line in describe_skips((report.nodeid, report.longrepr[2]) for report in skipped):
            reporter.write_line(line)


def describe_skips(skips: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each reason, and below it one for each of its tests.

    Args:
        skips: a test's id and the reason that pytest gives.
    """
    tests = defaultdict(set)
    for test, reason in skips:
        tests[reason.removeprefix("Skipped: ")].add(test)
    for reason, names in sorted(tests.items()):
        count = "1 test" if len(names) == 1 else f"{len(names)} tests"
        yield f"{count} did not run{' ' if reason.startswith('without ') else ': '}{reason}"
        yield from (f"  {name}" for name in sorted(names))
