"""What a test run says of tests that did not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects import ROOT
from tests.skips import describe_skips

CONFTEST = """
from tests.skips import show_skips

def pytest_terminal_summary(terminalreporter):
    show_skips(terminalreporter)
"""
TESTS = """
import pytest
from tests.browser import start_browser

@pytest.mark.parametrize("n", [1, 2])
def test_page(n):
    with start_browser():
        raise AssertionError("there is no Chromium")

def test_other():
    pass
"""


def test_each_reason_is_said_once_with_its_tests_below_it() -> None:
    skips = [
        ("b.py::test_b", "Skipped: without Chromium: apt install chromium"),
        ("a.py::test_a", "Skipped: without Chromium: apt install chromium"),
        ("c.py::test_c", "Skipped: it rains"),
    ]
    assert list(describe_skips(skips)) == [
        "1 test did not run: it rains",
        "  c.py::test_c",
        "2 tests did not run without Chromium: apt install chromium",
        "  a.py::test_a",
        "  b.py::test_b",
    ]


def run_pytest(folder: Path, *options: str) -> list[str]:
    """Run the tests above, with no program on the PATH, and return what is said."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", *options, str(folder)]
    environment = os.environ | {"PATH": str(folder), "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # most of a start is plugins of no use here
    said = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return said.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_chromium_the_end_names_the_tests_that_did_not_run(
    tmp_path: Path, workers: str
) -> None:
    said = run_pytest(tmp_path, "-n", workers)
    start = said.index("2 tests did not run without Chromium: apt install chromium")
    assert " tests that did not run " in said[start - 1]
    assert said[start + 1 : start + 3] == [
        "  test_it.py::test_page[1]",
        "  test_it.py::test_page[2]",
    ]
    assert "1 passed, 2 skipped" in said[start + 3]


def test_these_tests_say_so_too(pytestconfig: pytest.Config) -> None:
    hooks = pytestconfig.hook.pytest_terminal_summary.get_hookimpls()
    assert str(ROOT / "tests/conftest.py") in [getattr(h.plugin, "__file__", "") for h in hooks]
