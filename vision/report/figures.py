"""Draw the figures of the report as PNGs whose bytes depend on the results alone."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from vision.evaluation.calibration import N_BINS, trace_coverage
from vision.evaluation.gallery import Mistake
from vision.evaluation.similarity import order_classes
from vision.evaluation.thresholds import Ranking
from vision.report.charts import FILLED
from vision.report.deciding import rank_positives
from vision.report.paper import find_claim
from vision.report.runs import IMAGES_MARK, WEIGHTS_MARK, Results, Run
from vision.report.words import shorten
from vision.schema.report import PlotParams

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # Okabe and Ito, 2008
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX"
GREY, PALE = "#5f6670", "#dfe3e8"
WORSE_TO_BETTER = LinearSegmentedColormap.from_list("", (VERMILLION, "#f7f7f7", BLUE))
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "font.size": 10,
    "grid.color": PALE,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
}
WIDTH = 8.0  # inches
TITLE_HEIGHT = 0.22  # inches
LEGEND_COLUMNS = 4
CLAIM_OFFSET = 0.22  # rows below what is measured
FEWEST_IN_BIN = 10  # images, or the bin's accuracy says little
PLAIN_LOOK: dict[str, Any] = {"marker": "o", "color": BLUE, "ms": 5, "label": "as trained"}
SCALED_LOOK: dict[str, Any] = {
    "marker": "s",
    "color": VERMILLION,
    "ms": 4,
    "ls": "--",
    "label": "temperature scaled",
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue, ITU-R BT.709
SHOWN = 12  # images in a gallery
GALLERY_COLUMNS = 6
TWINS = 6  # pairs of duplicates
MAX_SIDE = 8.0  # inches, of a confusion matrix
MAX_SHARES = 12  # classes in whose cells there is room for a count and its share
MAX_COUNTS = 40  # classes whose counts and F1 can still be read


def draw_figures(results: Results, params: PlotParams) -> dict[str, bytes]:
    """Return all figures of the report: file name -> PNG."""
    with style.context(["default", STYLE]):
        drawings = {
            "accuracy.png": draw_curves(results, "accuracy"),
            "loss.png": draw_curves(results, "loss"),
            "comparison.png": draw_comparison(results),
            "f1.png": draw_f1(results),
            "calibration.png": draw_calibration(results),
            "confidence.png": draw_confidence(results),
            "coverage.png": draw_coverage(results),
            "robustness.png": draw_robustness(results),
            "map.png": draw_map(results),
        }
        if results.duplicates["pairs"]:
            drawings["duplicates.png"] = draw_duplicates(results)
        for run in results.runs:
            drawings[f"confusion-{run.name}.png"] = draw_confusion(results, run)
            if len(run.maps):
                drawings[f"attention-{run.name}.png"] = draw_attention(results, run)
            if mistakes := results.find_mistakes(run, SHOWN):
                title = f"{_label(run)}: its surest mistakes"
                options = (results.images.test_rows, title, results.mark(run))
                drawings[f"mistakes-{run.name}.png"] = draw_images(results, mistakes, *options)
        if issues := results.label_issues[:SHOWN]:
            title = f"Labels that {_label(results.best)} doubts"
            options = (results.images.judged_rows, title, results.mark(results.best))
            drawings["label-issues.png"] = draw_images(results, issues, *options)
        if ranked := rank_positives(results):
            drawings["roc.png"] = draw_roc(results, ranked)
        if len(results.runs) > 1:
            drawings["difference.png"] = draw_difference(results)
        return {file: render(figure, params.dpi) for file, figure in drawings.items()}


def render(figure: Figure, dpi: int) -> bytes:
    png = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name: it becomes a box
        figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return png.getvalue()


def draw_curves(results: Results, quantity: str) -> Figure:
    """Draw `accuracy` or `loss` by epoch, one panel per model, on one scale."""
    figure, panels = _make_panels(len(results.trained))
    for axes, run in zip(panels.flat, results.trained, strict=False):
        _draw_panel(axes, run, quantity)
    unit = "%" if quantity == "accuracy" else "nats per image"
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{quantity} ({unit})")
    title = f"{quantity.capitalize()} by epoch, training and validation"
    _title(figure, title, results.mark(), panels[0, 0].get_lines())
    return figure


def _make_panels(count: int) -> tuple[Figure, np.ndarray]:
    """Return a figure and its panels, (rows, columns), of which `count` are shown."""
    n_columns = min(count, 2 if count <= 4 else 3)
    n_rows = -(-count // n_columns)
    figure = Figure(figsize=(WIDTH, 1.2 + 2.3 * n_rows))
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    return figure, panels


def _draw_panel(axes: Axes, run: Run, quantity: str) -> None:
    history, scale = run.history, 100 if quantity == "accuracy" else 1
    epochs, kept = history.epoch, history[history.epoch == run.training["best_epoch"]]
    train, val = f"train_{quantity}", f"val_{quantity}"
    axes.plot(epochs, scale * history[train], "--o", color=VERMILLION, ms=3, label="training")
    axes.plot(epochs, scale * history[val], "-o", color=BLUE, ms=3, label="validation")
    ring: dict[str, Any] = {"ms": 10, "mfc": "none", "mec": "black", "mew": 1.4}
    axes.plot(kept.epoch, scale * kept[val], "o", label="kept epoch", **ring)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set(title=_label(run), xlabel="epoch")


def draw_comparison(results: Results) -> Figure:
    """Draw the accuracies of all models, the test accuracy with its interval."""
    runs = results.runs
    figure = Figure(figsize=(WIDTH, 1.7 + 0.5 * len(runs)))
    axes = figure.subplots()
    y = np.arange(len(runs))
    test = np.array([100 * run.metrics["accuracy"] for run in runs])
    low = test - [100 * run.metrics["accuracy_low"] for run in runs]
    high = [100 * run.metrics["accuracy_high"] for run in runs] - test
    level = f"{100 * runs[0].metrics['confidence']:g} %"
    bars: dict[str, Any] = {"fmt": "o", "color": BLUE, "ms": 7, "capsize": 4, "zorder": 4}
    tested = axes.errorbar(test, y, xerr=[low, high], label=f"test, {level} interval", **bars)
    val = [100 * run.metrics["val_accuracy"] for run in runs]
    axes.plot(val, y, "o", mfc="white", mec=BLUE, ms=7, label="validation", zorder=3)
    for at, value in zip(y, test, strict=True):
        axes.annotate(f"{value:.1f}", (value, at), (0, 7), textcoords="offset points", ha="center")
    if results.images.are_the_papers:
        _draw_claims(axes, runs)
    axes.set_yticks(y, [_label(run) for run in runs])
    axes.set(xlabel="accuracy (%)", ylim=(len(runs) - 0.4, -0.7))
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)
    named = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    _title(
        figure, "Test and validation accuracy of the kept epoch", results.mark(), [tested, *named]
    )
    return figure


def _draw_claims(axes: Axes, runs: list[Run]) -> None:
    looks = {"test": ("paper's test", VERMILLION), "val": ("paper's validation", "white")}
    for subset, (label, fill) in looks.items():
        claims = [(find_claim(run.name, subset), y + CLAIM_OFFSET) for y, run in enumerate(runs)]
        found = [(100 * claim, y) for claim, y in claims if claim is not None]
        if found:
            x, at = zip(*found, strict=True)
            axes.plot(x, at, "D", mfc=fill, mec=VERMILLION, ms=7, label=label, zorder=2)


def order_by_f1(results: Results) -> list[int]:
    """Return the classes that test images show, strongest first; of many, those weakest."""
    scores = [[each["f1"] or 0 for each in run.metrics["per_class"]] for run in results.runs]
    shown = np.flatnonzero([each["support"] for each in results.runs[0].metrics["per_class"]])
    means = np.mean(scores, axis=0)[shown]
    order = shown[np.argsort(means, kind="stable")[:MAX_COUNTS][::-1]]
    return [int(label) for label in order]


def draw_f1(results: Results) -> Figure:
    """Draw F1 by class and model; of many classes, those weakest on average."""
    scores = [
        [100 * (each["f1"] or 0) for each in run.metrics["per_class"]] for run in results.runs
    ]
    order = order_by_f1(results)
    y = np.arange(len(order))
    figure = Figure(figsize=(WIDTH, 1.7 + 0.32 * len(order)))
    axes = figure.subplots()
    chosen = np.array(scores)[:, order]
    axes.hlines(y, chosen.min(axis=0), chosen.max(axis=0), color=PALE, lw=3)
    for number, (run, values) in enumerate(zip(results.runs, chosen, strict=True)):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot(values, y, marker, color=colour, ms=7, alpha=0.9, label=_label(run))
    axes.set_yticks(y, [shorten(results.images.classes[i], 24) for i in order])
    axes.set(xlabel="F1 (%)", ylim=(len(order) - 0.4, -0.6))
    few = f", the {len(order)} weakest" if len(order) < len(results.images.classes) else ""
    title = f"F1 by class on the test images{few}"
    _title(figure, title, results.mark(), axes.get_lines())
    return figure


def draw_calibration(results: Results) -> Figure:
    """Draw accuracy by confidence, one panel per model, before and after temperature scaling."""
    figure, panels = _make_panels(len(results.runs))
    for axes, run in zip(panels.flat, results.runs, strict=False):
        axes.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":", label="right as often as it says")
        for temperature, look in ((1.0, PLAIN_LOOK), (results.find_temperature(run), SCALED_LOOK)):
            found = results.calibrate(run, temperature)
            full = found.counts >= FEWEST_IN_BIN
            axes.plot(100 * found.confidence[full], 100 * found.accuracy[full], **look)
        axes.set(title=_label(run), xlabel="confidence (%)", xlim=(0, 102), ylim=(0, 102))
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy (%)")
    title = "Accuracy by confidence on the test images"
    _title(figure, title, results.mark(), panels[0, 0].get_lines())
    return figure


def draw_confidence(results: Results) -> Figure:
    """Draw how many predictions have which confidence, right and wrong ones, a panel per model."""
    figure, panels = _make_panels(len(results.runs))
    edges = np.linspace(0, 100, N_BINS + 1)
    for axes, run in zip(panels.flat, results.runs, strict=False):
        scores = results.score(run)
        parts = [100 * scores.confidence[scores.right], 100 * scores.confidence[~scores.right]]
        looks: dict[str, Any] = {"color": [BLUE, VERMILLION], "label": ["right", "wrong"]}
        axes.hist(parts, edges, stacked=True, **looks)
        axes.set(title=_label(run), xlabel="calibrated confidence (%)", xlim=(0, 100))
    for axes in panels[:, 0]:
        axes.set_ylabel("test images")
    handles, _ = panels[0, 0].get_legend_handles_labels()
    _title(figure, "Confidence of right and wrong predictions", results.mark(), handles)
    return figure


def draw_coverage(results: Results) -> Figure:
    """Draw the accuracy on the images that a model is surest of, by their share of all."""
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.subplots()
    for number, run in enumerate(results.runs):
        coverage, accuracy = trace_coverage(results.score(run))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(100 * coverage, 100 * accuracy, color=colour, label=_label(run))
    axes.set(xlabel="share of the images that are decided (%)", ylabel="accuracy on them (%)")
    axes.set(xlim=(0, 100), ylim=(None, 100.5))
    title = "Accuracy where a model may leave out what it is least sure of"
    _title(figure, title, results.mark(), axes.get_lines())
    return figure


def draw_roc(results: Results, ranked: dict[str, Ranking]) -> Figure:
    """Draw ROC and precision-recall curves of the second of two classes, a line for each model."""
    figure = Figure(figsize=(WIDTH, 4.4))
    left, right = figure.subplots(1, 2)
    left.plot([0, 100], [0, 100], color=GREY, lw=1, ls=":", label="guessing")
    share = 100 * float((results.images.test_labels == 1).mean())
    right.axhline(share, color=GREY, lw=1, ls=":")
    for number, run in enumerate(results.runs):
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "label": _label(run)}
        false, true = ranked[run.name].roc
        left.step(100 * false, 100 * true, where="post", **look)
        recall, precision = ranked[run.name].recall
        right.step(100 * recall, 100 * precision, where="post", **look)
    ends = (-1, 101)
    left.set(xlabel="false positive rate (%)", ylabel="true positive rate (%)", title="ROC")
    right.set(xlabel="recall (%)", ylabel="precision (%)", title="precision and recall")
    for axes in (left, right):
        axes.set(xlim=ends, ylim=ends)
    positive = shorten(results.images.classes[1], 24)
    title = f"Test images by the probability of {positive}"
    _title(figure, title, results.mark(), left.get_lines())
    return figure


def draw_robustness(results: Results) -> Figure:
    """Draw accuracy by the severity of corruption, a panel for each kind."""
    kinds = list(results.runs[0].robustness["accuracies"])
    figure, panels = _make_panels(len(kinds))
    for axes, kind in zip(panels.flat, kinds, strict=False):
        for number, run in enumerate(results.runs):
            found = [run.robustness["clean"], *run.robustness["accuracies"][kind]]
            look = {
                "color": COLOURS[number % len(COLOURS)],
                "marker": MARKERS[number % len(MARKERS)],
            }
            axes.plot(range(len(found)), 100 * np.array(found), ms=4, label=_label(run), **look)
        axes.set(title=kind, xlabel="severity", ylim=(0, 100))
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy (%)")
    n = results.runs[0].robustness["n"]
    title = f"Accuracy on {n:,} corrupted test images; severity 0 is the original"
    _title(figure, title, results.mark(), panels[0, 0].get_lines())
    return figure


def draw_attention(results: Results, run: Run) -> Figure:
    """Draw where a model looks: images that it gets right, then images that it gets wrong."""
    right, wrong = run.explained["right"], run.explained["wrong"]
    places = _place(len(right)), _place(len(wrong))
    n_rows = [1 + places[k][-1][0] if places[k] else 0 for k in range(2)]
    figure = Figure(figsize=(WIDTH, 0.6 + 1.75 * sum(n_rows)))
    panels = figure.subplots(sum(n_rows), GALLERY_COLUMNS, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    spots = [*places[0], *((n_rows[0] + row, column) for row, column in places[1])]
    for spot, position, heat in zip(spots, [*right, *wrong], run.maps, strict=True):
        _draw_heat(results, run, panels[spot], position, heat)
    _title(figure, f"Where {_label(run)} looks: right above, wrong below", results.mark(run))
    return figure


def _place(n: int) -> list[tuple[int, int]]:
    """Return row and column of each picture of a gallery."""
    return [divmod(k, GALLERY_COLUMNS) for k in range(n)]


def _draw_heat(results: Results, run: Run, axes: Axes, position: int, heat: np.ndarray) -> None:
    """Draw an image under its map; a map of zeros is left out, and a word says so."""
    pixels, classes = results.images.read_test(position), results.images.classes
    axes.imshow(pixels, interpolation="nearest")
    if heat.any():
        extent = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
        axes.imshow(heat, cmap="inferno", alpha=0.55, interpolation="bilinear", extent=extent)
    true, guess = (
        int(labels[position])
        for labels in (results.images.test_labels, results.score(run).predicted)
    )
    words = shorten(classes[true], 16)
    if true != guess:
        words += f"\ntaken for {shorten(classes[guess], 16)}"
    if not heat.any():
        words += "\nno place speaks for it"
    axes.set_title(words, loc="center", fontsize=8)


def draw_map(results: Results) -> Figure:
    """Draw a point for each image that the best model's map has, and a cross where it is wrong."""
    run, n_classes = results.best, len(results.images.classes)
    _, places, labels, right = results.mapped
    figure = Figure(figsize=(WIDTH, 6.4))
    axes = figure.subplots()
    has_classes = n_classes <= 2 * FILLED
    names = results.images.classes if has_classes else ("right",)
    for number, name in enumerate(names):
        colour = COLOURS[number % FILLED]
        fill = "none" if number >= FILLED else colour
        look: dict[str, Any] = {"facecolors": fill, "edgecolors": colour, "s": 14, "linewidths": 1}
        shown = places[labels == number] if has_classes else places[right]
        axes.scatter(shown[:, 0], shown[:, 1], label=shorten(name, 16), **look)
    wrong = places[~right]
    axes.scatter(wrong[:, 0], wrong[:, 1], s=40, marker="x", c="black", linewidths=1, label="wrong")
    axes.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    handles, _ = axes.get_legend_handles_labels()
    title = f"Test images, alike ones to {_label(run)} side by side"
    _title(figure, title, results.mark(run), handles)
    return figure


def draw_duplicates(results: Results) -> Figure:
    """Draw test images over their near-duplicates in the training images."""
    pairs = results.duplicates["pairs"][:TWINS]
    figure = Figure(figsize=(WIDTH, 3.7))
    panels = figure.subplots(2, TWINS, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    images = results.images
    for column, pair in enumerate(pairs):
        for axes, kind in zip(panels[:, column], ("test", "train"), strict=True):
            row = pair[f"{kind}_row"]
            axes.imshow(images.all_pixels[row], interpolation="nearest")
            label = shorten(images.classes[images.all_labels[row]], 16)
            axes.set_title(f"{kind}: {label}", loc="center", fontsize=8)
    title = "Test images over their near-duplicates in training, the likest first"
    _title(figure, title, IMAGES_MARK * images.is_stand_in)
    return figure


def draw_images(
    results: Results, chosen: list[Mistake], rows: np.ndarray, title: str, marks: str
) -> Figure:
    """Draw images with their true class, what they are taken for, how surely, and their file.

    Args:
        rows: of the images that positions count.
    """
    n_rows = -(-len(chosen) // GALLERY_COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.7 + 2.0 * n_rows))
    panels = figure.subplots(n_rows, GALLERY_COLUMNS, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    images = results.images
    for axes, mistake in zip(panels.flat, chosen, strict=False):
        row = int(rows[mistake.position])
        axes.imshow(images.all_pixels[row], interpolation="nearest")
        true, taken = (shorten(images.classes[i], 16) for i in (mistake.true, mistake.predicted))
        words = f"{true}\ntaken for {taken}\n{100 * mistake.confidence:.1f} %"
        axes.set_title(words, loc="center", fontsize=8)
        below = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 6}
        axes.text(0.5, -0.03, shorten(images.names[row], 28), **below)
    _title(figure, title, marks)
    return figure


def draw_difference(results: Results) -> Figure:
    """Draw how the confusions of the best model differ from those of the next.

    Colour says what is better: more on the diagonal, fewer beside it.
    """
    best, following = results.rank()[:2]
    change = np.array(best.metrics["confusion"]) - np.array(following.metrics["confusion"])
    better = np.where(np.eye(len(change), dtype=bool), change, -change)
    limit = max(1, int(np.abs(change).max()))
    look = {"cmap": WORSE_TO_BETTER, "norm": SymLogNorm(1, vmin=-limit, vmax=limit)}
    words = np.vectorize(lambda count: f"{count:+,}".replace("-", "\N{MINUS SIGN}"))(change)
    title = f"Confusions: {_label(best)} minus {_label(following)}, images"
    return _draw_matrix(results, words, better, title, (best, following), **look)


def draw_confusion(results: Results, run: Run) -> Figure:
    """Draw the counts of a confusion matrix over the share that each is of its row."""
    counts = np.array(run.metrics["confusion"])
    rates = 100 * counts / counts.sum(1, keepdims=True).clip(1)
    words = np.vectorize(lambda count: f"{count:,}", otypes=[object])(counts)
    if len(counts) <= MAX_SHARES:
        words = words + np.vectorize(lambda rate: f"\n{rate:.1f} %", otypes=[object])(rates)
    title = f"{_label(run)}: images by true and predicted class"
    look = {"cmap": "Blues", "norm": PowerNorm(0.5, 0, 100)}
    return _draw_matrix(results, words, rates, title, (run,), **look)


def _draw_matrix(
    results: Results,
    words: np.ndarray,
    values: np.ndarray,
    title: str,
    runs: tuple[Run, ...],
    **colours: Any,
) -> Figure:
    """Write words over the colours of values, both (classes, classes), where these are not 0.

    Where there is no room for words, classes that are confused stand side by side.
    """
    names = [shorten(name, 18) for name in results.images.classes]
    n = len(names)
    if n > MAX_COUNTS:
        order = order_classes(np.array(runs[0].metrics["confusion"]))
        names, values = [names[i] for i in order], values[np.ix_(order, order)]
    side = min(max(0.36, 1.0 - 0.05 * n) * n, MAX_SIDE)
    size_in = (max(side + 2.8, WIDTH), side + 1.9)
    figure = Figure(size_in, layout="compressed")  # keeps the colour bar beside the square
    axes = figure.subplots()
    image = axes.imshow(values, **colours)
    size = min(10.0, 72 * side / n * 0.36)  # points
    if n <= MAX_COUNTS:
        _write_counts(axes, words, image, size if n > MAX_SHARES else 0.8 * size)
    shown = range(0, n, -(-n // 60))
    labels = [names[i] for i in shown]
    axes.set_yticks(shown, labels)
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(shown, labels, **(slant if max(map(len, names)) > 2 else {}))
    axes.tick_params(labelsize=max(size, 7))
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shares = len(runs) == 1
    written = PercentFormatter(symbol=" %") if shares else StrMethodFormatter("{x:,.0f}")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, fraction=0.05, format=written)
    bar.set_label("share of the true class's images" if shares else "images, better above 0")
    bar.outline.set_visible(False)
    _title(figure, title, results.mark(*runs))
    return figure


def _write_counts(axes: Axes, words: np.ndarray, image: AxesImage, size: float) -> None:
    values = np.asarray(image.get_array())
    shades = image.to_rgba(values)[..., :3] @ LUMINANCE
    for i, j in np.argwhere(values):
        colour = "white" if shades[i, j] < 0.5 else "black"
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
        axes.text(j, i, words[i, j], **look)


def _label(run: Run) -> str:
    return run.label.replace(run.name, shorten(run.name, 22))


def _title(figure: Figure, title: str, marks: str, handles: Sequence[Any] = ()) -> None:
    """Set the title, the legend under it and, at the foot, what the marks of stand-ins mean."""
    n_rows = -(-len(handles) // LEGEND_COLUMNS)
    room = n_rows * "\n "  # for the legend
    figure.suptitle(title + room, x=0.01, ha="left", linespacing=1.6)
    if handles:
        corner = (0, 1 - TITLE_HEIGHT / figure.get_figheight())
        columns = LEGEND_COLUMNS
        figure.legend(handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=corner)
    words = {IMAGES_MARK: "stand-in images", WEIGHTS_MARK: "stand-in pretrained weights"}
    notes = [f"{mark} {words[mark]}" for mark in marks]
    if notes:
        figure.supxlabel("   ".join(notes), x=0.01, ha="left", fontsize=9, color=GREY)
