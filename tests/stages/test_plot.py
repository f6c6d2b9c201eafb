import contextlib
import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages import plot
from stages.made import describe_making
from stages.runner import run_stage
from tests.fake_results import CLASSES, MODELS, write_tree
from vision.base.files import read_array, read_json, write_json

ROOT = Path(__file__).parents[2]


def plot_here(tree):
    """Run the stage in `tree` and return what it prints."""
    printed = io.StringIO()
    with contextlib.chdir(tree), contextlib.redirect_stdout(printed):
        plot.main()
    return printed.getvalue()


def read_reports(tree):
    files = sorted(path for path in (tree / "reports").rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def plotted(tmp_path_factory):
    """A tree whose reports are written, and what was printed then. Tests leave it as it is."""
    tree = tmp_path_factory.mktemp("plotted")
    write_tree(tree)
    return tree, plot_here(tree)


def test_plot_writes_figures_metrics_curves_and_both_reports(plotted):
    figures = ["accuracy", "calibration", "comparison", "confidence", "coverage", "difference"]
    figures += ["duplicates", "f1", "label-issues", "loss", "map", "robustness"]
    figures += ["attention-three-layer-cnn", "attention-paper"]
    figures += [f"{kind}-{name}" for kind in ("confusion", "mistakes") for name in MODELS]
    figures.sort()
    files = ["curves.csv", *(f"figures/{name}.png" for name in figures)]
    files += ["metrics.json", "model-card.md", "predictions.csv", "report.html", "report.md"]
    files.append("slices.csv")
    assert list(read_reports(plotted[0])) == [f"reports/{file}" for file in files]


def test_equal_inputs_give_equal_bytes_under_any_hash_seed(plotted, tmp_path):
    write_tree(tmp_path)
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "stages", "plot"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = read_reports(plotted[0]), read_reports(tmp_path)
    foot = re.compile(rb"<footer>.*</footer>", re.DOTALL)
    pages = [foot.subn(b"", each.pop("reports/report.html")) for each in (first, second)]
    assert pages[0] == pages[1]
    assert pages[0][1] == 1
    assert second == first


def test_the_foot_of_the_page_says_when_and_from_what_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert describe_making().startswith("Made on 1970-01-02 at 00:00 UTC by traceable-image")
    assert "commit" not in describe_making()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    Path("params.yaml").write_text("seed: 0")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    assert re.search(r" from commit [0-9a-f]{12}\.$", describe_making())
    Path("params.yaml").write_text("seed: 1")
    assert describe_making().endswith(", with changes that are not committed.")


def test_another_timing_touches_the_reports_alone(plotted, tmp_path):
    write_tree(tmp_path)
    path = tmp_path / "data/timings/paper.json"
    write_json(path, read_json(path) | {"train_seconds": 4321.0, "device": "another"})
    plot_here(tmp_path)
    before, after = read_reports(plotted[0]), read_reports(tmp_path)
    changed = {file for file in after if after[file] != before[file]}
    assert changed == {"reports/model-card.md", "reports/report.html", "reports/report.md"}


def test_every_figure_of_the_markdown_report_exists(plotted):
    reports = plotted[0] / "reports"
    lines = (reports / "report.md").read_text().splitlines()
    files = [line.rpartition("](")[2][:-1] for line in lines if line.startswith("![")]
    assert len(files) == 12 + 3 * len(MODELS) - 1
    assert all((reports / file).is_file() for file in files)


def test_what_models_say_of_each_file_is_listed(plotted):
    tree = plotted[0]
    with (tree / "reports/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows[::120]] == list(MODELS)
    rows = [row for row in rows if row["model"] == "paper"]
    assert [row["path"] for row in rows] == [f"photos/{row}.png" for row in range(120)]
    assert [row["split"] for row in rows] == ["val"] * 60 + ["test"] * 60
    assert [row["near_duplicate_of"] for row in rows[59:62]] == ["", "photos/0.png", ""]
    logits = read_array(tree / "data/predictions/paper/test_logits.npy")
    assert [row["prediction"] for row in rows[60:]] == [CLASSES[i] for i in logits.argmax(1)]
    right = [row["label"] == row["prediction"] for row in rows[60:]]
    for row, is_right in zip(rows[60:], right, strict=True):
        same = row["calibrated_confidence"] == row["label_probability"]
        assert same == is_right
    accuracy = read_json(tree / "reports/metrics.json")["models"]["paper"]["test_accuracy"]
    assert sum(right) / 60 == pytest.approx(accuracy)


def test_the_report_names_the_files_of_mistakes_and_of_labels_in_doubt(plotted):
    tree = plotted[0]
    with (tree / "reports/predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "paper"]
    wrong = {row["path"] for row in rows if row["prediction"] != row["label"]}
    text = (tree / "reports/report.md").read_text()
    (doubts,) = re.findall(r"\| File \| Part \|.*?\n\n", text, re.DOTALL)
    listed = re.findall(r"^\| (photos/\d+\.png) \| (val|test) \|", doubts, re.MULTILINE)
    assert {part for _, part in listed} == {"val", "test"}
    assert {file for file, _ in listed} <= wrong
    assert {file for file, _ in listed} == {row["path"] for row in rows if row["in_doubt"]}
    (alt,) = re.findall(r"!\[([^\]]*)\]\(figures/mistakes-paper\.png\)", text)
    assert {*re.findall(r"photos/\d+\.png", alt)} <= wrong


def test_curves_hold_every_epoch_of_every_model(plotted):
    with (plotted[0] / "reports/curves.csv").open(newline="") as file:
        rows = [(row["model"], row["epoch"]) for row in csv.DictReader(file)]
    assert rows == [(name, str(epoch)) for name in MODELS for epoch in range(1, 5)]


def test_results_are_printed_with_the_path_of_the_report(plotted):
    tree, printed = plotted
    accuracy = read_json(tree / "reports/metrics.json")["models"]["paper"]["test_accuracy"]
    row = next(line for line in printed.splitlines() if "paper" in line)
    assert f"{100 * accuracy:.1f}" in row.split()
    assert printed.splitlines()[-1] == "reports/report.html"


def test_figures_of_models_no_longer_listed_are_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plot.write_figures({"f1.png": b"old", "confusion-a.png": b"old", "confusion-b.png": b"old"})
    plot.write_figures({"f1.png": b"new", "confusion-b.png": b"new"})
    left = {path.name: path.read_bytes() for path in Path("reports/figures").iterdir()}
    assert left == {"f1.png": b"new", "confusion-b.png": b"new"}


def test_a_missing_input_ends_the_stage_with_one_line(tmp_path, monkeypatch, capsys):
    write_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/predictions/paper/metrics.json").unlink()
    assert run_stage(["plot"]) == 1
    assert capsys.readouterr().err == (
        "error: data/predictions/paper/metrics.json is missing: run dvc repro evaluate@paper\n"
    )
