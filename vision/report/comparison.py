"""Put two runs of the pipeline side by side: what was changed, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import style

from vision.base.params import flatten
from vision.evaluation.gallery import Mistake, decide
from vision.evaluation.significance import compare_pairs, correct
from vision.report.blocks import Block, Items, Picture, Report, Section, Table, Text
from vision.report.figures import SHOWN, STYLE, draw_curves, draw_images, render
from vision.report.runs import Results, Run
from vision.report.tables import NONE, difference, share
from vision.report.words import join, p_value

SIDES = ("before", "after")
DPI = 110
OTHER_IMAGES = (
    "The two were judged on different test images, so their figures can be set side by side, but "
    "no test can say whether a difference is an accident."
)
MCNEMAR = (
    "p is that of McNemar's exact test on the images that one of the two alone gets right, "
    "corrected for the number of models after Holm."
)


@dataclass(frozen=True)
class Version:
    """One of the two runs."""

    name: str  # a commit, an experiment, or the workspace
    params: dict[str, Any]
    results: Results


@dataclass(frozen=True)
class Change:
    """A model before and after, and the test images on which it changed its mind."""

    before: Run
    after: Run
    mended: list[int]  # positions of the images that it got wrong before, and right now
    broken: list[int]
    p: float | None  # None where the test images are not the same


def compare(before: Version, after: Version) -> list[Change]:
    """Return the models that both runs have."""
    shared = [
        (run, other)
        for run in before.results.runs
        if (other := after.results.find(run.name)) is not None
    ]
    if not has_same_tests(before, after):
        return [Change(run, other, [], [], None) for run, other in shared]
    labels = before.results.images.test_labels
    found = [
        (run, other, run.test_logits.argmax(1) == labels, other.test_logits.argmax(1) == labels)
        for run, other in shared
    ]
    raw = [compare_pairs({"before": was, "after": now})[0].p for _, _, was, now in found]
    return [
        Change(run, other, _list(now & ~was), _list(was & ~now), p)
        for (run, other, was, now), p in zip(found, correct(raw), strict=True)
    ]


def has_same_tests(before: Version, after: Version) -> bool:
    """Say whether both were judged on the same test images in the same order."""
    first, second = before.results.images, after.results.images
    return (
        first.manifest["sha256"] == second.manifest["sha256"]
        and first.classes == second.classes
        and np.array_equal(first.test_rows, second.test_rows)
        and np.array_equal(first.test_labels, second.test_labels)
    )


def build_comparison(before: Version, after: Version) -> tuple[Report, dict[str, bytes]]:
    """Return the report of a difference, and its figures as PNGs by file name."""
    changes = compare(before, after)
    figures = dict(_draw(before, after, changes))
    sections = [
        Section("In short", [Items(_describe_all(changes)), *_warn(before, after)]),
        Section("Params", [list_params(before, after)]),
        Section("Accuracy", [list_accuracies(changes), Text(MCNEMAR)]),
        Section("Classes", [list_classes(before, after, changes)]),
        *(_show_changes(change, figures) for change in changes if change.mended or change.broken),
        Section("Learning curves", _show_curves(before, after)),
    ]
    return Report(f"{after.name} beside {before.name}", sections), figures


def list_params(before: Version, after: Version) -> Block:
    first, second = (dict(flatten(version.params)) for version in (before, after))
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    rows: list[tuple[str, ...]] = [
        (key, str(first.get(key, NONE)), str(second.get(key, NONE))) for key in keys
    ]
    if not rows:
        return Text("No param differs.")
    return Table("Params that differ", ("Param", before.name, after.name), rows, n_left=3)


def list_accuracies(changes: list[Change]) -> Table:
    header = ("Model", "Val before %", "Val now %", "Test before %", "Test now %", "Points")
    rows: list[tuple[str, ...]] = []
    for change in changes:
        was, now = change.before, change.after
        figures = [run.metrics["val_accuracy"] for run in (was, now)]
        figures += [run.metrics["accuracy"] for run in (was, now)]
        points = difference(now.metrics["accuracy"], was.metrics["accuracy"])
        mended, broken = f"{len(change.mended):,}", f"{len(change.broken):,}"
        p = NONE if change.p is None else p_value(change.p).removeprefix("= ")
        rows.append((now.name, *map(share, figures), points, mended, broken, p))
    return Table(
        "Accuracy in percent, and test images that changed",
        (*header, "Wrong to right", "Right to wrong", "p"),
        rows,
    )


def list_classes(before: Version, after: Version, changes: list[Change]) -> Table:
    """List the classes that both runs have."""
    old, new = (version.results.images.classes for version in (before, after))
    rows: list[tuple[str, ...]] = []
    for name in (name for name in old if name in new):
        scores = [
            (
                change.after.metrics["per_class"][new.index(name)]["f1"],
                change.before.metrics["per_class"][old.index(name)]["f1"],
            )
            for change in changes
        ]
        rows.append((name, *(difference(now, was) for now, was in scores)))
    header = ("Class", *(change.after.name for change in changes))
    return Table("F1 by class: points gained or lost", header, rows, is_sortable=True)


def _describe_all(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.after.name, _describe(change)) for change in changes]


def _describe(change: Change) -> str:
    was, now = (run.metrics["accuracy"] for run in (change.before, change.after))
    if np.array_equal(change.before.test_logits, change.after.test_logits):
        return f"{share(now)} %, as before: the same predictions."
    move = f"{share(was)} % before, {share(now)} % now ({difference(now, was)} points)"
    if change.p is None:
        return f"{move}."
    sure = change.p < 1 - change.after.metrics["confidence"]
    verdict = "no accident of these images" if sure else "other images could reverse it"
    return (
        f"{move}: {len(change.mended):,} test images mended, {len(change.broken):,} broken "
        f"(McNemar's test, p {p_value(change.p)}): {verdict}."
    )


def _warn(before: Version, after: Version) -> list[Block]:
    blocks: list[Block] = [] if has_same_tests(before, after) else [Text(OTHER_IMAGES)]
    for version, other in ((before, after), (after, before)):
        alone = [r.name for r in version.results.runs if other.results.find(r.name) is None]
        if alone:
            blocks.append(Text(f"{version.name} alone has {join(alone)}."))
    return blocks


def _draw(before: Version, after: Version, changes: list[Change]) -> Iterator[tuple[str, bytes]]:
    with style.context(["default", STYLE]):
        for side, version in zip(SIDES, (before, after), strict=True):
            for quantity in ("accuracy", "loss"):
                figure = draw_curves(version.results, quantity)
                yield f"{quantity}-{side}.png", render(figure, DPI)
        for change in changes:
            for kind, run in (("mended", change.before), ("broken", change.after)):
                images = _pick(after.results, run, getattr(change, kind))
                if images:
                    words = "right now" if kind == "mended" else "wrong now"
                    title = f"{run.name}: the surest of the images that are {words}"
                    options = (title, after.results.mark(change.after))
                    rows = after.results.images.test_rows
                    figure = draw_images(after.results, images, rows, *options)
                    yield f"{kind}-{run.name}.png", render(figure, DPI)


def _pick(results: Results, run: Run, positions: list[int]) -> list[Mistake]:
    """Return the mistakes of a run on some images, the surest first."""
    confidence, predicted = decide(run.test_logits)
    labels = results.images.test_labels
    chosen = sorted(positions, key=lambda i: -confidence[i])[:SHOWN]
    return [Mistake(i, int(labels[i]), int(predicted[i]), float(confidence[i])) for i in chosen]


def _show_changes(change: Change, figures: dict[str, bytes]) -> Section:
    name = change.after.name
    words = {
        "mended": f"{name} got these wrong before, as shown, and gets them right now",
        "broken": f"{name} got these right before, and takes them now for what is shown",
    }
    blocks: list[Block] = [
        Picture(file, caption, alt=f"Test images: {caption}.")
        for kind, caption in words.items()
        if (file := f"{kind}-{name}.png") in figures
    ]
    return Section(name, blocks, level=3)


def _show_curves(before: Version, after: Version) -> list[Block]:
    return [
        Picture(
            f"{quantity}-{side}.png",
            f"{version.name}: {quantity} by epoch",
            alt=f"Training and validation {quantity} by epoch of {version.name}.",
        )
        for quantity in ("accuracy", "loss")
        for side, version in zip(SIDES, (before, after), strict=True)
    ]


def _list(chosen: np.ndarray) -> list[int]:
    return [int(i) for i in np.flatnonzero(chosen)]
