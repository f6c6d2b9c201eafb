"""The benchmarks run; what they measure is nobody's business here."""

import sys
from pathlib import Path

import pytest

from benchmarks.compare import ratio, write_table
from benchmarks.speed import Speed, count_flops
from tests.projects import ROOT, run

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


@pytest.mark.slow
def test_the_comparison_runs_and_writes_its_results(tmp_path: Path) -> None:
    options = ["--sizes", "32", "--images", "32", "--rounds", "1", "--counts", "256", "512"]
    run(ROOT, sys.executable, "-m", "benchmarks.compare", *options, "--out", str(tmp_path))
    report = (tmp_path / "README.md").read_text()
    assert "| ours, fp32 | 32 |" in report
    assert "| 512 |" in report
    assert {path.name for path in tmp_path.glob("*.png")} == {"speed.png", "minutes.png"}
