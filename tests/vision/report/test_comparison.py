import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fake_results import MODELS, write_tree
from vision.base.params import load_section, read_params
from vision.evaluation.significance import compare_pairs
from vision.report.comparison import (
    Version,
    build_comparison,
    compare,
    list_classes,
    list_params,
)
from vision.report.page import render_html, render_markdown
from vision.report.runs import load_results
from vision.schema.report import ModelsParams

BETTER = MODELS | {"paper": 0.95}


def make_version(root: Path, name: str, models: dict[str, float], **tree: Any) -> Version:
    write_tree(root / name, models=models, n_test=90, **tree)
    with contextlib.chdir(root / name):
        return Version(name, read_params(), load_results(load_section("models", ModelsParams)))


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Version, Version]:
    return make_version(tmp_path, "old", MODELS), make_version(tmp_path, "new", BETTER)


def test_images_that_changed_are_those_that_one_alone_gets_right(
    versions: tuple[Version, Version],
) -> None:
    *_, change = compare(*versions)
    labels = versions[0].results.images.test_labels
    was, now = (run.test_logits.argmax(1) == labels for run in (change.before, change.after))
    assert change.mended == np.flatnonzero(now & ~was).tolist()
    assert change.broken == np.flatnonzero(was & ~now).tolist()
    (pair,) = compare_pairs({"was": was, "now": now})
    assert change.p == pytest.approx(min(1, 3 * pair.p))  # Holm: the least of three


def test_a_model_that_stayed_says_so_and_the_other_its_gain(
    versions: tuple[Version, Version],
) -> None:
    text = render_markdown(build_comparison(*versions)[0])
    assert text.count("as before: the same predictions") == 2
    assert "test images mended" in text


def test_params_that_differ_are_listed_and_no_others(versions: tuple[Version, Version]) -> None:
    before, after = versions
    after.params["plot"]["dpi"] = 99
    after.params["more"] = {"new": 1}
    assert list_params(before, after).rows == [("plot.dpi", "60", "99"), ("more.new", "–", "1")]


def test_every_picture_of_the_page_is_drawn(versions: tuple[Version, Version]) -> None:
    report, figures = build_comparison(*versions)
    page = render_html(report, figures)
    assert page.count("<img ") == len(figures) >= 6


def test_other_test_images_are_said_and_not_tested(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS)
    after = make_version(tmp_path, "new", BETTER, sha256="00" * 32)
    assert all(change.p is None for change in compare(before, after))
    assert "judged on different test images" in render_markdown(build_comparison(before, after)[0])


def test_a_model_that_one_run_lacks_is_named(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS)
    after = make_version(tmp_path, "new", {"paper": 0.9})
    report, _ = build_comparison(before, after)
    assert "old alone has two-layer-fc and three-layer-cnn." in render_markdown(report)


def test_classes_are_matched_by_name_and_only_shared_ones_are_compared(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS, classes=("cat", "dog", "ship"))
    after = make_version(tmp_path, "new", MODELS, classes=("ship", "cat", "frog"))
    table = list_classes(before, after, compare(before, after))
    assert [row[0] for row in table.rows] == ["cat", "ship"]
    was, now = (version.results.runs[0].metrics["per_class"] for version in (before, after))
    assert float(table.rows[1][1].replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        100 * (now[0]["f1"] - was[2]["f1"]), abs=0.051
    )
