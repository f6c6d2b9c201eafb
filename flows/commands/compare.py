"""Write the report of the difference between two runs: commits, experiments or the workspace."""

import contextlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.engine.tree import check_out, remove_tree, run_dvc
from vision.base.errors import DataError
from vision.base.files import write_bytes, write_text
from vision.base.params import read_params
from vision.base.sections import load_section
from vision.report.changes import Version, find_worse
from vision.report.comparison import build_comparison
from vision.report.page import render_html, render_markdown
from vision.report.runs import load_results
from vision.schema.report import ModelsParams

WORKSPACE = "workspace"
WORSE = 3  # status; 1 is an error, 2 a wrong use
TREES = Path(".dvc/tmp/compared")


def compare(before: str, after: str, out: Path, *, fail_if_worse: bool = False) -> int:
    """Write report.html, report.md and figures/ to a folder; return the status to end with.

    Args:
        before, after: what git knows, the name of an experiment, or `workspace`.
        fail_if_worse: return WORSE where a model is significantly worse after than before.

    Raises:
        PipelineError: there is no such version, or its results are not in the cache; or, with
            `fail_if_worse`, whether a model is worse cannot be said.
    """
    with _open(before, "before") as first, _open(after, "after") as second:
        report, figures = build_comparison(first, second)
        for file, png in figures.items():
            write_bytes(out / "figures" / file, png)
        write_text(out / "report.md", render_markdown(report))
        write_text(out / "report.html", render_html(report, figures))
        print(out / "report.html")
        worse = find_worse(first, second) if fail_if_worse else []
    if worse:
        print(f"significantly worse than {before}: {', '.join(worse)}", file=sys.stderr)
    return WORSE if worse else 0


@contextmanager
def _open(name: str, side: str) -> Iterator[Version]:
    """Read a version's results; arrays stay open while the block lasts."""
    if name == WORKSPACE:
        yield _load(Path(), name)
        return
    place = (TREES / side).absolute()
    tree = check_out(place, name)
    try:
        run_dvc(tree, "checkout", "--quiet", "--force", "--allow-missing")
        try:
            version = _load(tree, name)
        except DataError as error:
            raise DataError(f"{name} lacks results that a report needs: {error}") from None
        yield version
    finally:
        remove_tree(place)


def _load(tree: Path, name: str) -> Version:
    with contextlib.chdir(tree):
        return Version(name, read_params(), load_results(load_section("models", ModelsParams)))
