"""The benchmarks run; what they measure is nobody's business here."""

import sys
from pathlib import Path

import pytest

from benchmarks.compare import ratio, write_table
from benchmarks.recipes import trace_courses
from benchmarks.speed import Speed, count_flops
from tests.projects import ROOT, run
from vision.files import write_json

SPEEDS = [
    Speed("plain, 0 workers", 32, 100.0, 400.0, 0.2),
    Speed("plain, 2 workers", 32, 80.0, 500.0, 0.2),
    Speed("ours, fp32", 32, 150.0, 1500.0, 0.3),
    Speed("plain, 0 workers", 64, 1.0, 1.0, 0.2),
]


def test_a_program_is_compared_with_the_faster_plain_one_at_its_size() -> None:
    assert ratio(SPEEDS[2], SPEEDS, "train") == "1.50"
    assert ratio(SPEEDS[2], SPEEDS, "evaluate") == "3.00"


def test_a_step_of_resnet18_takes_three_times_its_forward_pass_less_the_first_layer() -> None:
    """Forward 0.074 GFLOP at 32 px; the gradient of the first convolution's input is not needed."""
    assert count_flops(32) == pytest.approx(0.217e9, rel=0.01)


def test_a_table_has_a_line_under_its_head() -> None:
    assert write_table(("a", "b"), [(1, 2)]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_a_course_takes_what_its_images_take_at_the_measured_speeds(workspace: Path) -> None:
    write_json(Path("data/split/summary.json"), {"train": {"n": 6000}, "val": {"n": 500}})
    for name, recipe in {
        "paper": {"epochs": 2, "input_px": None, "test_flip": False},
        "tuned": {"epochs": 2, "input_px": 32, "px_by_epoch": [16, 32], "test_flip": True},
    }.items():
        folder = Path("data/training") / name
        write_json(folder / "summary.json", {"family": "finetune", "recipe": recipe})
        (folder / "history.csv").write_text("epoch,val_accuracy\n1,0.5\n2,0.25\n")
    small = Speed("ours, fp32", 16, 600.0, 3000.0, 0.3)
    plain, ours = trace_courses(SPEEDS)  # nothing was measured at 16 px
    assert (plain.program, plain.best) == ("plain program", 0.5)
    assert plain.minutes == [61 / 60, 122 / 60]
    assert ours.minutes == pytest.approx([(40 + 1 / 3) / 60, (80 + 2 / 3) / 60])
    *_, tuned = trace_courses([*SPEEDS, small])
    assert tuned.minutes == pytest.approx([(10 + 2 / 3) / 60, (50 + 4 / 3) / 60])


@pytest.mark.slow
def test_the_comparison_runs_and_writes_its_results(tmp_path: Path) -> None:
    options = ["--sizes", "32", "--images", "32", "--rounds", "1", "--counts", "256", "512"]
    run(ROOT, sys.executable, "-m", "benchmarks.compare", *options, "--out", str(tmp_path))
    report = (tmp_path / "README.md").read_text()
    assert "| ours, fp32 | 32 |" in report
    assert "| 512 |" in report
    assert {path.name for path in tmp_path.glob("*.png")} == {"speed.png", "minutes.png"}
