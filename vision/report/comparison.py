"""Put two runs of the pipeline side by side: what was changed, and what came of it."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import style

from vision.base.params import flatten
from vision.evaluation.gallery import Mistake
from vision.report.blocks import Block, Items, Picture, Report, Section, Table, Text
from vision.report.changes import Change, Version, compare, has_same_tests
from vision.report.figures import SHOWN, STYLE, draw_curves, draw_images, render
from vision.report.robustness import measure_robustness
from vision.report.runs import Results, Run
from vision.report.tables import NONE, difference, share
from vision.report.words import bounds, join, p_value

SIDES = ("before", "after")
DPI = 110
MOST_MOVED = 8  # cells of the confusion matrix that are listed for each model
OTHER_IMAGES = (
    "The two were evaluated on different test images, so their figures can be set side by side, "
    "but no test can say whether a difference is chance."
)
MCNEMAR = (
    "p is that of McNemar's exact test on the images that changed, Holm-corrected for the number "
    "of models; each interval is Bonett and Price's, of its model alone. Both speak of other test "
    "images of the same kind. Another seed is another matter: it can move a figure as far, and "
    "only several trainings of each show how far."
)
NOT_TESTED = (
    "None of these differences is tested: p and interval above are of the accuracy. Times differ "
    "from run to run and from machine to machine."
)


def build_comparison(before: Version, after: Version) -> tuple[Report, dict[str, bytes]]:
    """Return the report of a difference, and its figures as PNGs by file name."""
    changes = compare(before, after)
    figures = dict(_draw(before, after, changes))
    sections = [
        Section("In short", [Items(_describe_all(changes)), *warn(before, after)]),
        Section("Params", [list_params(before, after)]),
        Section("Accuracy", [list_accuracies(changes), Text(MCNEMAR)]),
        Section("Calibration, robustness and cost", _list_rest(before, after, changes)),
        Section("Classes", [list_classes(before, after, changes)]),
        *(_show_changes(change, before, after, figures) for change in changes if _moved(change)),
        Section("Learning curves", _show_curves(before, after)),
    ]
    return Report(f"{after.name} compared with {before.name}", sections), figures


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
        size = difference(now.metrics["accuracy"], was.metrics["accuracy"])
        interval = bounds(*change.interval) if change.interval else NONE
        counts = [f"{len(each):,}" for each in (change.now_right, change.now_wrong)]
        if change.p is None:
            counts = [NONE, NONE]
        p = NONE if change.p is None else p_value(change.p).removeprefix("= ")
        rows.append((now.name, *map(share, figures), size, interval, *counts, p))
    level = (
        f"{100 * changes[0].after.metrics['confidence']:g} % interval" if changes else "Interval"
    )
    return Table(
        "Accuracy in percent, the difference on the test images, and images that changed",
        (*header, level, "Now right", "Now wrong", "p"),
        rows,
    )


def list_calibrations(before: Version, after: Version, changes: list[Change]) -> Table:
    rows: list[tuple[str, ...]] = []
    for change in changes:
        found = [_measure_calibration(*each) for each in _pair(before, after, change)]
        rows.append((change.after.name, *_interleave(*found)))
    header = _double("Model", "ECE %", "Temperature", "ECE after scaling %")
    return Table("Expected calibration error (ECE), test images", header, rows)


def _measure_calibration(results: Results, run: Run) -> list[str]:
    temperature = results.find_temperature(run)
    errors = [results.calibrate(run, by).error for by in (1.0, temperature)]
    return [share(errors[0]), f"{temperature:.2f}", share(errors[1])]


def list_corruptions(changes: list[Change]) -> Table:
    """List the accuracies on corrupted images; of kinds that one of the two has not, none."""
    kinds = list(
        dict.fromkeys(kind for change in changes for kind in change.after.robustness["accuracies"])
    )
    rows: list[tuple[str, ...]] = []
    for change in changes:
        was, now = (_measure_corruptions(run) for run in (change.before, change.after))
        cells = [_move(was.get(kind), now.get(kind)) for kind in ("mean", *kinds)]
        rows.append((change.after.name, *cells))
    return Table(
        "Accuracy on corrupted images in percent, the mean over the degrees: before, now",
        ("Model", "Mean", *kinds),
        rows,
    )


def _measure_corruptions(run: Run) -> dict[str, float]:
    means = measure_robustness(run)
    return means | {"mean": float(np.mean([*means.values()]))}


def _move(was: float | None, now: float | None) -> str:
    return f"{share(was)}, {share(now)}"


def list_costs(changes: list[Change]) -> Table:
    rows: list[tuple[str, ...]] = []
    for change in changes:
        was, now = (_measure_cost(run) for run in (change.before, change.after))
        rows.append((change.after.name, *_interleave(was, now)))
    header = _double("Model", "MB", "GFLOP an image", "ms, 1 image", "Seconds of training")
    return Table("What a model costs to use and to train", header, rows)


def _measure_cost(run: Run) -> list[str]:
    return [
        f"{run.cost['bytes'] / 1e6:.1f}",
        f"{run.cost['flops_per_image'] / 1e9:.3f}",
        f"{run.cost['latency_ms']:.1f}",
        f"{run.timing['train_seconds']:,.0f}",
    ]


def list_moved(change: Change, classes: Sequence[str]) -> Table:
    """List the cells of the confusion matrix off the diagonal that changed most."""
    was, now = (np.array(run.metrics["confusion"]) for run in (change.before, change.after))
    moved = now - was
    np.fill_diagonal(moved, 0)
    cells = [(int(i), int(j)) for i, j in np.argwhere(moved)]
    cells.sort(key=lambda cell: (-abs(moved[cell]), cell))
    rows: list[tuple[str, ...]] = [
        (classes[i], classes[j], f"{was[i, j]:,}", f"{now[i, j]:,}", f"{moved[i, j]:+,}")
        for i, j in cells[:MOST_MOVED]
    ]
    caption = f"Confusions of {change.after.name} that changed most, test images"
    header = ("True", "Predicted", "Before", "Now", "Images")
    rows = [(*row[:-1], row[-1].replace("-", "\N{MINUS SIGN}")) for row in rows]
    return Table(caption, header, rows, n_left=2)


def _pair(before: Version, after: Version, change: Change) -> list[tuple[Results, Run]]:
    return [(before.results, change.before), (after.results, change.after)]


def _interleave(was: list[str], now: list[str]) -> list[str]:
    return [cell for pair in zip(was, now, strict=True) for cell in pair]


def _double(first: str, *names: str) -> tuple[str, ...]:
    return (first, *(f"{name}, {when}" for name in names for when in ("before", "now")))


def _list_rest(before: Version, after: Version, changes: list[Change]) -> list[Block]:
    if not changes:
        return []
    tables = [list_calibrations(before, after, changes), list_corruptions(changes)]
    return [*tables, list_costs(changes), Text(NOT_TESTED)]


def _moved(change: Change) -> bool:
    return bool(change.now_right or change.now_wrong)


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
        rows.append((name, *(_gain(now, was) for now, was in scores)))
    header = ("Class", *(change.after.name for change in changes))
    return Table("F1 by class: points gained or lost", header, rows, is_sortable=True)


def _describe_all(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.after.name, describe(change)) for change in changes]


def _gain(now: float | None, was: float | None) -> str:
    return NONE if now is None or was is None else difference(now, was)


def describe(change: Change) -> str:
    """Say what became of a model's accuracy, and whether that is significant."""
    was, now = (run.metrics["accuracy"] for run in (change.before, change.after))
    if np.array_equal(change.before.test_logits, change.after.test_logits):
        return f"{share(now)} %, as before: the same predictions."
    move = f"{share(was)} % before, {share(now)} % now ({difference(now, was)} points)"
    if change.p is None or change.interval is None:
        return f"{move}."
    verdict = (
        f"significantly {'worse' if change.is_worse else 'better'}: another sample of test images "
        "would hardly reverse it"
        if change.is_significant
        else "not significant: another sample of test images could reverse it"
    )
    level = f"{100 * change.after.metrics['confidence']:g} % interval {bounds(*change.interval)}"
    return (
        f"{move}, {level}; {len(change.now_right):,} test images are now right, "
        f"{len(change.now_wrong):,} now wrong (p {p_value(change.p)}, McNemar, Holm): {verdict}."
    )


def warn(before: Version, after: Version) -> list[Text]:
    """Say what makes two runs hard to compare."""
    blocks: list[Text] = [] if has_same_tests(before, after) else [Text(OTHER_IMAGES)]
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
            sides = {
                "now-right": (before.results, change.before, change.now_right),
                "now-wrong": (after.results, change.after, change.now_wrong),
            }
            for kind, (results, run, positions) in sides.items():
                images = _pick(results, run, positions)
                if images:
                    words = kind.replace("-", " ")
                    title = f"{run.name}: the surest of the images that are {words}"
                    options = (title, after.results.mark(change.after))
                    rows = after.results.images.test_rows
                    figure = draw_images(after.results, images, rows, *options)
                    yield f"{kind}-{run.name}.png", render(figure, DPI)


def _pick(results: Results, run: Run, positions: list[int]) -> list[Mistake]:
    """Return the mistakes of a run on some images, the surest first, by calibrated confidence."""
    scores = results.score(run)
    confidence, predicted = scores.confidence, scores.predicted
    labels = results.images.test_labels
    chosen = sorted(positions, key=lambda i: -confidence[i])[:SHOWN]
    return [Mistake(i, int(labels[i]), int(predicted[i]), float(confidence[i])) for i in chosen]


def _show_changes(
    change: Change, before: Version, after: Version, figures: dict[str, bytes]
) -> Section:
    name = change.after.name
    words = {
        "now-right": f"before, {name} predicted what is shown; now it is right",
        "now-wrong": f"before, {name} was right; now it predicts what is shown",
    }
    blocks: list[Block] = []
    if before.results.images.classes == after.results.images.classes:
        blocks.append(list_moved(change, after.results.images.classes))
    blocks += [
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
