import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fake_results import MODELS, write_tree
from vision.base.errors import DataError
from vision.base.params import read_params
from vision.base.sections import load_section
from vision.evaluation.significance import compare_pairs
from vision.report.blocks import Report
from vision.report.changes import Version, compare, find_worse
from vision.report.comparison import (
    OTHER_IMAGES,
    build_comparison,
    describe,
    list_classes,
    list_moved,
    list_params,
    warn,
)
from vision.report.page import render_html, render_markdown
from vision.report.runs import load_results
from vision.schema.report import ModelsParams

BETTER = MODELS | {"paper": 0.95}


def make_version(root: Path, name: str, models: dict[str, float], **tree: Any) -> Version:
    write_tree(root / name, models=models, n_test=90, **tree)
    with contextlib.chdir(root / name):
        return Version(name, read_params(), load_results(load_section("models", ModelsParams)))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    folder = tmp_path_factory.mktemp("versions")
    return make_version(folder, "old", MODELS), make_version(folder, "new", BETTER)


@pytest.fixture(scope="module")
def built(versions: tuple[Version, Version]) -> tuple[Report, dict[str, bytes]]:
    return build_comparison(*versions)


@pytest.fixture(scope="module")
def text(built: tuple[Report, dict[str, bytes]]) -> str:
    return render_markdown(built[0])


def test_images_that_changed_are_those_that_one_alone_gets_right(
    versions: tuple[Version, Version],
) -> None:
    *_, change = compare(*versions)
    labels = versions[0].results.images.test_labels
    was, now = (run.test_logits.argmax(1) == labels for run in (change.before, change.after))
    assert change.now_right == np.flatnonzero(now & ~was).tolist()
    assert change.now_wrong == np.flatnonzero(was & ~now).tolist()
    (pair,) = compare_pairs({"was": was, "now": now})
    assert change.p == pytest.approx(min(1, 3 * pair.p))  # Holm: the least of three


def test_a_model_that_stayed_says_so_and_the_other_its_gain(text: str) -> None:
    assert text.count("as before: the same predictions") == 2
    assert "test images are now right" in text
    assert "Another seed is another matter" in text


def test_only_what_is_significantly_worse_is_called_worse(tmp_path: Path) -> None:
    good = make_version(tmp_path, "good", MODELS | {"paper": 0.9})
    bad = make_version(tmp_path, "bad", MODELS | {"paper": 0.5, "two-layer-fc": 0.47})
    assert find_worse(good, bad) == ["paper"]  # the other is worse by too few images
    assert find_worse(bad, good) == []
    *_, change = compare(good, bad)
    assert change.interval
    low, high = change.interval
    assert low < change.after.metrics["accuracy"] - change.before.metrics["accuracy"] < high < 0
    assert describe(change).endswith(
        "significantly worse: another sample of test images would hardly reverse it."
    )


def test_calibration_corruptions_cost_and_confusions_are_compared(
    versions: tuple[Version, Version], text: str
) -> None:
    for caption in ("Expected calibration error", "Accuracy on corrupted", "What a model costs"):
        assert f"*{caption}" in text
    *_, change = compare(*versions)
    was, now = (np.array(run.metrics["confusion"]) for run in (change.before, change.after))
    true, predicted, *counts, moved = list_moved(change, ("cat", "dog", "ship")).rows[0]
    i, j = (("cat", "dog", "ship").index(name) for name in (true, predicted))
    assert counts == [str(was[i, j]), str(now[i, j])]
    assert int(moved.replace("\N{MINUS SIGN}", "-")) == now[i, j] - was[i, j]
    assert abs(now[i, j] - was[i, j]) == np.abs(now - was)[~np.eye(3, dtype=bool)].max()


def test_params_that_differ_are_listed_and_no_others(versions: tuple[Version, Version]) -> None:
    before, after = versions
    after = replace(
        after, params=after.params | {"plot": {"dpi": 99, "most_confused": 3}, "more": {"new": 1}}
    )
    assert list_params(before, after).rows == [("plot.dpi", "60", "99"), ("more.new", "–", "1")]


def test_every_picture_of_the_page_is_drawn(built: tuple[Report, dict[str, bytes]]) -> None:
    report, figures = built
    page = render_html(report, figures)
    assert page.count("<img ") == len(figures) >= 6


def test_other_test_images_are_said_and_not_tested(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS)
    after = make_version(tmp_path, "new", BETTER, sha256="00" * 32)
    assert all(change.p is None for change in compare(before, after))
    with pytest.raises(DataError, match="cannot be said; leave out --fail-if-worse"):
        find_worse(before, after)
    assert [block.text for block in warn(before, after)] == [OTHER_IMAGES]


def test_a_model_that_one_run_lacks_is_named(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS)
    after = make_version(tmp_path, "new", {"paper": 0.9})
    assert [block.text for block in warn(before, after)] == [
        "old alone has two-layer-fc and three-layer-cnn."
    ]


def test_classes_are_matched_by_name_and_only_shared_ones_are_compared(tmp_path: Path) -> None:
    before = make_version(tmp_path, "old", MODELS, classes=("cat", "dog", "ship"))
    after = make_version(tmp_path, "new", MODELS, classes=("ship", "cat", "frog"))
    table = list_classes(before, after, compare(before, after))
    assert [row[0] for row in table.rows] == ["cat", "ship"]
    was, now = (version.results.runs[0].metrics["per_class"] for version in (before, after))
    assert float(table.rows[1][1].replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        100 * (now[0]["f1"] - was[2]["f1"]), abs=0.051
    )
    after.results.runs[0].metrics["per_class"][0]["f1"] = None  # no test image shows it
    table = list_classes(before, after, compare(before, after))
    assert table.rows[1][1] == "–"
