"""Measure the pipeline's training beside a plain PyTorch program; write a table and figures.

Reads data/training and data/split for what the recipes gave; writes benchmarks/results/here/.
Run on idle cores: python -m benchmarks.compare
What each recipe reaches in 1 to 60 minutes, by training it, for some six hours in one call or
several: python -m benchmarks.compare --minutes 60
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.gpu_plan import Budget
from benchmarks.memory import Growth, measure_growth
from benchmarks.minutes import POWERS, measure_minutes
from benchmarks.recipes import Course, trace_courses
from benchmarks.speed import BATCH_SIZE, Speed, make_images, measure_speeds
from flows.engine.overrides import parse_overrides
from vision.base.errors import PipelineError
from vision.base.files import write_text
from vision.base.hardware import describe_hardware
from vision.report.figures import COLOURS, MARKERS, STYLE

RESULTS = Path("benchmarks/results/here")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 80, 96], help="pixels")
    parser.add_argument("--images", type=int, default=1024, help="in an epoch of the speed test")
    parser.add_argument("--rounds", type=int, default=3, help="of each program, taking turns")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 40_000, 160_000])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    parser.add_argument("--minutes", type=float, help="train instead, each training for so many")
    parser.add_argument("--hours", type=float, default=24, help="of this call, with --minutes")
    parser.add_argument("--epochs", type=int, nargs="+", default=POWERS, help="of the trainings")
    parser.add_argument("-S", "--set-param", action="append", default=[], help="as dvc exp run has")
    wanted = parser.parse_args()
    if wanted.minutes:
        budget = Budget(time.monotonic(), 3600 * wanted.hours)
        try:
            folder, overrides = wanted.out / "minutes", parse_overrides(wanted.set_param)
            measure_minutes(folder, wanted.minutes, budget, overrides, wanted.epochs)
        except PipelineError as error:
            raise SystemExit(f"error: {error}") from None
        return
    wanted.out.mkdir(parents=True, exist_ok=True)
    images = make_images(wanted.images)
    speeds = measure_speeds(wanted.sizes, images, wanted.rounds)
    courses = trace_courses(images, wanted.rounds)
    growth = measure_growth(wanted.counts)
    report = write_report(speeds, courses, growth, wanted.rounds, wanted.images)
    write_text(wanted.out / "README.md", report)
    with style.context(["default", STYLE]):
        draw_speeds(speeds).savefig(wanted.out / "speed.png", dpi=150)
        draw_courses(courses).savefig(wanted.out / "minutes.png", dpi=150)


def write_report(
    speeds: list[Speed], courses: list[Course], growth: list[Growth], rounds: int, n_images: int
) -> str:
    hardware = describe_hardware()
    rows = [
        (
            s.program,
            s.input_px,
            f"{s.train:.0f}",
            ratio(s, speeds, "train"),
            f"{s.evaluate:.0f}",
            ratio(s, speeds, "evaluate"),
            f"{s.utilisation:.0%}",
        )
        for s in speeds
    ]
    heads = ("program", "px", "train, images/s", "x plain", "judge, images/s", "x plain", "used")
    reached = [
        (c.recipe, c.program, len(c.minutes), f"{c.minutes[-1]:.0f}", f"{100 * c.best:.1f}")
        for c in courses
    ]
    grown = [(f"{g.n_images:,}", f"{g.epoch_seconds:.1f}", f"{g.memory_mb:.0f}") for g in growth]
    return "\n".join(
        [
            "# Speed",
            "",
            f"{hardware['device']}, {hardware['threads']} threads, torch {hardware['torch']}; "
            f"ResNet18, Adam, batch {BATCH_SIZE} where no other is named; "
            f"median of {rounds} epochs of {n_images:,} images each, taking turns. "
            "`x plain` is over the faster of the plain programs; `used` is the "
            "share of the FLOP/s of a 2048 x 2048 product in that precision, taking turns too.",
            "",
            *write_table(heads, rows),
            "",
            "![Images per second by size](speed.png)",
            "",
            "# Accuracy by minutes",
            "",
            "The accuracies are those of the recorded trainings, validation split, one view of "
            "each image, first seed; the minutes are what their images take at the speed of each "
            "recipe, measured in this run, taking turns, validation included. The plain program "
            "computes what `paper` does, so it is shown with its accuracies.",
            "",
            *write_table(("recipe", "program", "epochs", "minutes", "best val %"), reached),
            "",
            "![Validation accuracy by minutes of training](minutes.png)",
            "",
            "# Growth",
            "",
            "Two-layer net on random images of 32 px, batch 256, images read by memory map; memory "
            "is the peak of the process's own, without the pages of the mapped file.",
            "",
            *write_table(("images", "seconds an epoch", "peak memory, MB"), grown),
            "",
        ]
    )


def write_table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    lines = [list(map(str, row)) for row in [heads, *rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return [f"| {' | '.join(line)} |" for line in lines]


def ratio(speed: Speed, speeds: list[Speed], quantity: str) -> str:
    """Return how many times as fast as the faster of the plain programs one is."""
    plain = [s for s in speeds if s.input_px == speed.input_px and s.program.startswith("plain")]
    fastest = max(float(getattr(s, quantity)) for s in plain)
    return f"{getattr(speed, quantity) / fastest:.2f}"


def draw_speeds(speeds: list[Speed]) -> Figure:
    figure = Figure(figsize=(8, 4))
    panels = figure.subplots(1, 2)
    names = list(dict.fromkeys(speed.program for speed in speeds))
    for axes, quantity, title in zip(
        panels, ("train", "evaluate"), ("training", "judging"), strict=True
    ):
        for name, colour, marker in zip(names, COLOURS, MARKERS, strict=False):
            found = [speed for speed in speeds if speed.program == name]
            y = [getattr(speed, quantity) for speed in found]
            x = [speed.input_px for speed in found]
            axes.plot(x, y, marker=marker, color=colour, label=name)
        axes.set(title=title, xlabel="image side (px)", xticks=x, ylim=(0, None))
    panels[0].set_ylabel("images per second")
    panels[0].legend(frameon=False)
    return figure


def draw_courses(courses: list[Course]) -> Figure:
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for course, colour, marker in zip(courses, COLOURS, MARKERS, strict=False):
        percent = [100 * accuracy for accuracy in course.accuracies]
        label = f"{course.recipe}, {course.program}"
        axes.plot(course.minutes, percent, marker=marker, color=colour, label=label)
    axes.set(xlabel="minutes of training, validation included", ylabel="validation accuracy (%)")
    if courses:
        axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
