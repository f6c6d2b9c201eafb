"""Sections that appear where there is something to show: slices, and thresholds of two classes."""

import re
from pathlib import Path

import pytest

from tests.fake_results import write_tree
from vision.report.deciding import build_thresholds, list_thresholds
from vision.report.runs import Results, load_results
from vision.report.slicing import describe_slices
from vision.report.tables import list_class_counts, list_models, list_probabilities
from vision.report.words import describe_baseline, describe_doubts, describe_load
from vision.schema.report import ModelsParams


def load(root: Path, monkeypatch: pytest.MonkeyPatch, **tree: object) -> Results:
    write_tree(root, models={"paper": 0.8}, **tree)  # type: ignore[arg-type]
    monkeypatch.chdir(root)
    return load_results(ModelsParams(baselines=[], finetune=["paper"], evaluate=["paper"]))


def test_slices_are_of_pixels_originals_and_the_users_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load(tmp_path, monkeypatch, n_test=240)
    found = results.slices
    assert {each.attribute for each in found} == {
        "class",
        "brightness",
        "contrast",
        "size of the original",
        "aspect of the original",
        "camera",
    }
    words = describe_slices(results, found)
    assert f"{100 * found[0].accuracy:.1f} %" in words
    assert f"corrected for looking at {len(found)} slices" in words
    cats = next(each for each in found if each.value == "cat")
    score = results.runs[0].metrics["per_class"][0]
    assert (cats.n, cats.accuracy) == (score["support"], pytest.approx(score["recall"]))


def test_two_classes_have_a_table_of_thresholds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load(tmp_path, monkeypatch, classes=("bad", "good"))
    (section,) = build_thresholds(results)
    assert [block.kind for block in section.blocks] == ["table", "chart", "table", "text"]
    run = results.runs[0]
    half = next(row for row in list_thresholds(results, run).rows if row[0] == "0.5")
    assert half[-1].startswith(f"{100 * run.metrics['accuracy']:.1f} [")
    assert half[1] == f"{sum(row[1] for row in run.metrics['confusion']):,}"


def test_three_classes_have_no_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_thresholds(load(tmp_path, monkeypatch)) == []


def test_top_5_stands_where_there_are_more_than_10_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = load(tmp_path / "few", monkeypatch)
    assert "Top-5 %" not in list_probabilities(few).header
    many = load(tmp_path / "many", monkeypatch, classes=tuple(f"c{i}" for i in range(11)))
    table = list_probabilities(many)
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert float(row["Top-5 %"]) >= 100 * many.runs[0].metrics["accuracy"]
    assert float(row["Log loss"]) == pytest.approx(many.runs[0].metrics["loss"], abs=5e-4)


def test_the_baseline_and_balanced_accuracy_of_unequal_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load(tmp_path, monkeypatch)
    assert "Balanced %" not in list_models(results).header
    assert list_class_counts(results).rows[0] == ("cat", "160", "20", "20")
    results.images.class_counts["train"][:] = [1, 2, 3]
    results.images.class_counts["test"][:] = [10, 20, 30]
    table = list_models(results)
    balanced = dict(zip(table.header, table.rows[0], strict=True))["Balanced %"]
    assert balanced == f"{100 * results.runs[0].metrics['macro_avg']['recall']:.1f}"
    assert describe_baseline(results) == (
        "Baseline: always to say ship, the most frequent class of the training images, is right "
        "for 33.3 % of the test images."
    )


def test_a_weak_model_doubts_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, models={"paper": 0.5})
    monkeypatch.chdir(tmp_path)
    results = load_results(ModelsParams(baselines=[], finetune=["paper"], evaluate=["paper"]))
    words = describe_doubts(results)
    assert results.label_issues == []
    assert re.match(r"paper is right for \d\d\.\d % of the 120 val and test images, too few", words)


def test_a_loaded_machine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = load(tmp_path, monkeypatch)
    assert describe_load(results) == ""
    results.runs[0].cost.update(was_loaded=True, cores_busy_elsewhere=1.25)
    assert "(1.2 for paper): these times are longer" in describe_load(results)
