"""Put the report together and write it as Markdown and as one self-contained HTML page."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vision.evaluation.calibration import N_BINS, SIMULATIONS
from vision.evaluation.gallery import Mistake, Sheet, make_sheet, pick_by_cell
from vision.evaluation.probabilities import summarise_probabilities
from vision.evaluation.similarity import order_classes
from vision.report.blocks import (
    Block,
    Chart,
    Difference,
    Items,
    Map,
    Matrix,
    Picture,
    Report,
    Section,
    Text,
    Tile,
    Tiles,
)
from vision.report.charts import (
    chart_calibration,
    chart_comparison,
    chart_confidence,
    chart_coverage,
    chart_curves,
    chart_f1,
    chart_robustness,
)
from vision.report.deciding import build_thresholds
from vision.report.figures import FEWEST_IN_BIN, MAX_COUNTS, SHOWN, TWINS, order_by_f1
from vision.report.hub import describe_for_hub
from vision.report.mapping import SHEET, build_map, draw_map_sheet
from vision.report.paper import FIGURE_4, RECIPE
from vision.report.robustness import (
    describe_overtaking,
    describe_robustness,
    list_degrees,
    list_highest,
    list_robustness,
    measure_robustness,
)
from vision.report.runs import Results, Run
from vision.report.slicing import build_slices
from vision.report.tables import (
    describe_architectures,
    describe_trainings,
    describe_weights,
    list_calibration,
    list_claims,
    list_class_counts,
    list_conditions,
    list_confusions,
    list_costs,
    list_doubts,
    list_f1,
    list_figure_4,
    list_models,
    list_pairs,
    list_probabilities,
    list_recipes,
    list_scores,
    list_seeds,
    list_stand_ins,
)
from vision.report.words import (
    describe_baseline,
    describe_calibration,
    describe_choice,
    describe_curves,
    describe_details,
    describe_doubts,
    describe_duplicates,
    describe_failures,
    describe_kept_epochs,
    describe_load,
    describe_result,
    describe_source,
    describe_transfer,
    describe_verdict,
    escape_markdown,
    interval,
    join,
    percent,
)
from vision.schema.report import PlotParams

PER_CELL, PER_SHEET = 6, 600  # images behind a cell of a confusion matrix, and behind all of them
TEMPLATES = Path(__file__).with_name("templates")
MANY_CONFUSIONS = 30  # that are listed where the matrix is too large to be read
SCRIPTS = ("page.js", "charts.js", "matrix.js")

CHOICE = (
    "{kept}, the first of them if several share it; the epochs are judged by one view of each "
    "image, as the curves show them, and the kept ones by all that the recipe averages. No "
    "training reads the test images; the test accuracy of the last epoch is given for comparison, "
    "and nothing was chosen by it. The model of the verdict, of the model card, of the doubted "
    "labels and of the near-duplicates is that with the highest validation accuracy."
)
INTERVALS = (
    "The intervals of accuracy, precision and recall are Wilson's score intervals, with Poisson's "
    "bound where all images but one to three agree; those of F1 follow from those of the Jaccard "
    "index, those of differences are Bonett and Price's for paired proportions. They hold for "
    "other test images of the same kind, not for other seeds, and for one figure at a time: of "
    "twenty 95 % intervals, one may miss."
)
SEEDS = (
    "Another seed is another order of the images and other weights where they are drawn at random, "
    "on the same split and the same test images. Every other figure of this report is of the first "
    "training."
)
MCNEMAR = (
    "p is that of McNemar's exact test on the images that one of the two alone gets right, "
    "Holm-corrected for all pairs of the table; each interval is of its pair alone. A p below 0.05 "
    "is called significant: another sample of test images would hardly reverse the order. Another "
    "seed is another matter."
)
CALIBRATION = (
    "Confidence is the largest of the predicted probabilities. ECE is the expected calibration "
    f"error: the mean distance of accuracy from confidence in {N_BINS} bins of equal width, "
    f"weighted by their images; the figure leaves out bins of fewer than {FEWEST_IN_BIN}. It is "
    "above 0 by chance alone, so it is set beside that of a perfectly calibrated model: images "
    "that are right with the probability that the model's confidence says, simulated "
    f"{SIMULATIONS} times. The temperature that divides the logits is chosen on validation; it "
    "changes no prediction. Elsewhere in this report, and where pipeline predict says it, "
    "confidence is calibrated: after temperature scaling."
)
CORRUPTIONS = (
    "Kinds and severities are those of CIFAR-10-C for images of 32 pixels and of ImageNet-C for "
    "224 (Hendrycks and Dietterich, 2019), and lie between them for sides between. They were made "
    "here, from the same test images for all models, with the seed of the run: the figures cannot "
    "be set beside published ones."
)
TWINS_FOUND = (
    "A copy equals a training image pixel for pixel. A near-duplicate has the detail of a training "
    "image of its class, and is more like it than training images are like each other: the limits "
    "stand in params.yaml. Where an image has little detail, or was shifted or mirrored, a "
    "near-duplicate is missed. None was left out of any other figure."
)
GRAD_CAM = "by Grad-CAM (Selvaraju et al., 2017, by captum) at {}"  # a layer
COVERING = "by what covering each part of the image takes away (Zeiler and Fergus, 2014, by captum)"
OCCLUSION = "occlusion"  # in place of a layer, as vision/evaluation/attention.py has it
ATTENTION = (
    "Where {model} looks, {maps}: bright places speak for the predicted class. Of the right "
    "predictions, the surest of each class; of the wrong ones, the surest"
)
TRAINING_FIGURES = (
    "Training figures are running means over an epoch, taken while the net still learns, on "
    "augmented images where the recipe augments, with dropout where it has any: they can lie "
    "below validation."
)


@dataclass(frozen=True)
class Made:
    """When and from what a page was made: all of it that equal results do not repeat."""

    text: str
    params: str  # params.yaml, as it was then


def summarise(results: Results) -> dict[str, Any]:
    """Return the figures of metrics.json: accuracies as fractions, losses in nats, no seconds."""
    images = results.images
    counts = {f"n_{subset}": images.split[subset]["n"] for subset in ("train", "val", "test")}
    facts = {key: images.manifest[key] for key in ("source", "official")}
    models = {run.name: _summarise(run, results) for run in results.runs}
    return {"data": facts | counts, "models": models}


def _summarise(run: Run, results: Results) -> dict[str, Any]:
    training, metrics = run.training, run.metrics
    temperature = results.find_temperature(run)
    kept = () if run.members else ("epochs", "best_epoch", "train_accuracy")
    tested = ("accuracy", "accuracy_low", "accuracy_high", "loss")
    return (
        {"params": training["parameters"]}
        | {key: training[key] for key in kept}
        | {"val_accuracy": metrics["val_accuracy"]}
        | {f"test_{key}": metrics[key] for key in tested}
        | {
            "test_calibration_error": results.calibrate(run).error,
            "test_calibration_error_by_chance": results.calibrate(run).luck.mean,
            "test_calibration_error_scaled": results.calibrate(run, temperature).error,
            "temperature": temperature,
            "last_epoch_val_accuracy": metrics["last_epoch"]["val_accuracy"],
            "last_epoch_test_accuracy": metrics["last_epoch"]["accuracy"],
        }
        | _summarise_probabilities(run, results)
        | _summarise_seeds(run)
    )


def _summarise_probabilities(run: Run, results: Results) -> dict[str, float]:
    """Return the scores of the probabilities as trained, and scaled where the name says so."""
    n_classes, plain = len(results.images.classes), results.score(run, "test", 1.0)
    scaled = summarise_probabilities(results.score(run), n_classes)
    found = {
        f"test_{key}": value for key, value in summarise_probabilities(plain, n_classes).items()
    }
    del found["test_log_loss"]  # it is test_loss
    return found | {f"test_{key}_scaled": scaled[key] for key in ("log_loss", "brier")}


def _summarise_seeds(run: Run) -> dict[str, Any]:
    means = {subset: mean for subset in ("val", "test") if (mean := run.average(subset))}
    figures = {
        f"{subset}_accuracy_{name}": value
        for subset, mean in means.items()
        for name, value in (("mean", mean.value), ("mean_low", mean.low), ("mean_high", mean.high))
    }
    return {"trainings": len(run.trainings), **figures} if figures else {}


def list_epochs(results: Results) -> list[dict[str, Any]]:
    """Return the rows of curves.csv: every epoch of every model, "" for what a model has not."""
    rows = [
        {"model": run.name, **dict(zip(map(str, run.history), row, strict=True))}
        for run in results.runs
        for row in run.history.itertuples(index=False)
    ]
    columns = dict.fromkeys(key for row in rows for key in row)
    return [dict.fromkeys(columns, "") | row for row in rows]


def build_report(results: Results, params: PlotParams) -> Report:
    n = len(results.runs)
    title = f"{describe_source(results.images)}: {n} image classifier{'s' * (n > 1)} evaluated"
    sections = [
        _build_first(results),
        _build_models(results),
        *_compare_with_paper(results),
        *_build_comparison(results),
        _build_curves(results),
        Section("Classes", _list_classes(results)),
        *(_build_model(results, run, params) for run in results.runs),
        _build_calibration(results),
        _build_robustness(results),
        *build_slices(results),
        *build_thresholds(results),
        build_map(results),
        _build_cost(results),
        *_build_label_issues(results),
        _build_duplicates(results),
        _build_choice(results),
        Section("Recipes", [list_recipes(results)]),
        Section("Conditions and provenance", [list_conditions(results)]),
    ]
    return Report(title, sections)


def _build_choice(results: Results) -> Section:
    choice = Text(CHOICE.format(kept=describe_kept_epochs(results)))
    return Section("How the epochs were chosen", [choice, Text(INTERVALS)])


def _build_models(results: Results) -> Section:
    texts = [describe_details(results), describe_baseline(results)]
    said = Text(" ".join(filter(None, texts)), results.mark())
    return Section("All models", [list_models(results), said])


def _list_classes(results: Results) -> list[Block]:
    tables = [list_f1(results), list_class_counts(results)]
    return [_show_f1(results), *tables, *_show_difference(results)]


def _build_cost(results: Results) -> Section:
    blocks: list[Block] = [list_costs(results)]
    if warning := describe_load(results):
        blocks.append(Text(warning))
    return Section("Cost", blocks)


def _build_first(results: Results) -> Section:
    blocks: list[Block] = [
        _show_key_figures(results),
        Text(describe_choice(results), results.mark()),
        _show_comparison(results),
    ]
    if notes := list_stand_ins(results):
        blocks.append(notes)
    return Section("Verdict", blocks)


def _show_key_figures(results: Results) -> Tiles:
    run = results.best
    scaled = results.calibrate(run, results.find_temperature(run))
    is_scaled = results.find_temperature(run) != 1
    how, chance = "after scaling" if is_scaled else "as trained", scaled.luck.mean
    kinds = measure_robustness(run).values()
    clean = f"mean; {percent(run.robustness['clean'])} on the originals of these"
    level = f"{100 * run.metrics['confidence']:g} % interval"
    tiles = [
        Tile("Chosen model", run.label, "by validation accuracy"),
        Tile("Test accuracy", percent(run.metrics["accuracy"]), f"{level} {interval(run.metrics)}"),
        Tile("Macro F1", percent(run.metrics["macro_avg"]["f1"]), "mean over the classes"),
        Tile("ECE", percent(scaled.error), f"{how}; chance alone gives {percent(chance)}"),
        Tile("Corrupted images", percent(sum(kinds) / len(kinds)), clean),
        Tile("One image", f"{run.cost['latency_ms']:.1f} ms", run.cost["device"]),
    ]
    return Tiles(tiles, results.mark(run))


def _compare_with_paper(results: Results) -> list[Section]:
    claims = list_claims(results)
    if not results.images.are_the_papers or not claims.rows:
        return []
    blocks: list[Block] = [claims]
    if transfer := describe_transfer(results):
        blocks.append(Text(transfer, results.mark()))
    ours = results.find(RECIPE)
    if ours and set(results.images.classes) == set(FIGURE_4):
        blocks.append(list_figure_4(results, ours))
    return [Section("Beside the paper", blocks)]


def _build_curves(results: Results) -> Section:
    items = [(run.label, describe_curves(run)) for run in results.trained]
    pictures = [_show_curves(results, quantity) for quantity in ("accuracy", "loss")]
    return Section("Learning curves", [Items(items), *pictures, Text(TRAINING_FIGURES)])


def _show_curves(results: Results, quantity: str) -> Chart:
    names = join(run.name for run in results.trained)
    picture = Picture(
        file=f"{quantity}.png",
        caption=f"Training and validation {quantity} by epoch",
        alt=f"Lines of training and validation {quantity} by epoch, a panel each for {names}.",
        marks=results.mark(),
    )
    return Chart(picture, chart_curves(results, quantity))


def _show_comparison(results: Results) -> Chart:
    figures = join(f"{run.name} {percent(run.metrics['accuracy'])}" for run in results.runs)
    paper = ", and the paper's claims" if results.images.are_the_papers else ""
    picture = Picture(
        file="comparison.png",
        caption=f"Test accuracy with its interval, and validation accuracy{paper}",
        alt=f"Test accuracy by model: {figures}.",
        marks=results.mark(),
    )
    return Chart(picture, chart_comparison(results))


def _build_comparison(results: Results) -> list[Section]:
    blocks: list[Block] = []
    if pairs := list_pairs(results):
        blocks += [pairs, Text(MCNEMAR)]
    if seeds := list_seeds(results):
        blocks += [seeds, Text(SEEDS)]
    return [Section("Differences", blocks)] if blocks else []


def describe_attention(run: Run) -> str:
    layer = run.explained["layer"]
    maps = COVERING if layer == OCCLUSION else GRAD_CAM.format(layer)
    return ATTENTION.format(model=run.label, maps=maps)


def _build_calibration(results: Results) -> Section:
    names = join(run.name for run in results.runs)
    picture = Picture(
        file="calibration.png",
        caption="Accuracy by confidence, before and after temperature scaling; below the dotted "
        "line a model is overconfident",
        alt=f"Accuracy by confidence, a panel each for {names}; the table has the summary.",
        marks=results.mark(),
    )
    items = [(run.label, describe_calibration(run, results)) for run in results.runs]
    confidence = Picture(
        file="confidence.png",
        caption="Test images by the calibrated confidence of their prediction",
        alt=f"Histograms of the confidence of right and wrong predictions, a panel for {names}.",
        marks=results.mark(),
    )
    coverage = Picture(
        file="coverage.png",
        caption="Accuracy where a model decides only the images that it is surest of",
        alt=f"Accuracy by the share of images that are decided, a line for {names}.",
        marks=results.mark(),
    )
    blocks: list[Block] = [
        Items(items),
        list_calibration(results),
        Chart(picture, chart_calibration(results, FEWEST_IN_BIN)),
        Chart(confidence, chart_confidence(results)),
        Chart(coverage, chart_coverage(results)),
        list_probabilities(results),
    ]
    return Section("Calibration", [*blocks, Text(CALIBRATION)])


def _build_robustness(results: Results) -> Section:
    kinds = join(results.runs[0].robustness["accuracies"])
    picture = Picture(
        file="robustness.png",
        caption="Accuracy by severity of corruption; severity 0 is the original",
        alt=f"Accuracy by severity, a panel each for {kinds}, a line for each model.",
        marks=results.mark(),
    )
    items = [(run.label, describe_robustness(run)) for run in results.runs]
    chart = Chart(picture, chart_robustness(results))
    blocks: list[Block] = [Items(items)]
    if overtaking := describe_overtaking(results):
        blocks.append(Text(overtaking, results.mark()))
    blocks += [list_robustness(results), list_highest(results), chart]
    how = f"{CORRUPTIONS} {list_degrees(results)}".rstrip()
    return Section("Corrupted images", [*blocks, Text(how)])


def _build_duplicates(results: Results) -> Section:
    blocks: list[Block] = [Text(describe_duplicates(results), results.mark(results.best))]
    if pairs := results.duplicates["pairs"][:TWINS]:
        classes, labels = results.images.classes, results.images.all_labels
        names = (classes[labels[pair["test_row"]]] for pair in pairs)
        picture = Picture(
            file="duplicates.png",
            caption="Test images over their near-duplicates in the training images",
            alt=f"Pairs of images: {join(names)}.",
            marks=results.mark(results.best)[:1] if results.images.is_stand_in else "",
        )
        blocks.append(picture)
    return Section("Near-duplicates in training", [*blocks, Text(TWINS_FOUND)])


def _build_label_issues(results: Results) -> list[Section]:
    issues, best = results.label_issues, results.best
    blocks: list[Block] = [Text(describe_doubts(results), results.mark(best))]
    if issues:
        picture = Picture(
            file="label-issues.png",
            caption=f"The images whose label {best.label} doubts most",
            alt="Images with their label and what they are taken for: "
            + _list_mistakes(results, issues[:SHOWN], results.images.judged_rows),
            marks=results.mark(best),
        )
        blocks += [picture, list_doubts(results)]
    return [Section("Labels in doubt", blocks)]


def _list_mistakes(results: Results, mistakes: list[Mistake], rows: np.ndarray) -> str:
    classes, names = results.images.classes, results.images.names
    return "; ".join(
        f"{classes[m.true]} taken for {classes[m.predicted]} ({names[int(rows[m.position])]})"
        for m in mistakes
    )


def _show_difference(results: Results) -> list[Block]:
    if len(results.runs) < 2:
        return []
    best, following = results.rank()[:2]
    picture = Picture(
        file="difference.png",
        caption=f"Confusions: {best.label} minus {following.label}, test images. Blue is better: "
        "more on the diagonal, fewer beside it; orange is worse",
        alt=f"Matrix of the differences between {best.name} and {following.name}.",
        marks=results.mark(best, following),
    )
    return [Difference(picture, (best.name, following.name))]


def _show_f1(results: Results) -> Chart:
    few = f"; the {MAX_COUNTS} weakest classes" if len(results.images.classes) > MAX_COUNTS else ""
    picture = Picture(
        file="f1.png",
        caption=f"F1 by class and model, the classes strongest on average first{few}",
        alt="Dots of F1 by class, one for each model; the table below has the figures.",
        marks=results.mark(),
    )
    return Chart(picture, chart_f1(results, order_by_f1(results)))


def _build_model(results: Results, run: Run, params: PlotParams) -> Section:
    counts = np.array(run.metrics["confusion"])
    picture = Picture(
        file=f"confusion-{run.name}.png",
        caption=f"Confusion matrix of {run.label}, test images; empty: 0",
        alt=f"Confusion matrix of {run.name}. {describe_failures(run, results.images.classes)}",
        marks=results.mark(run),
    )
    order = order_classes(counts)
    matrix = Matrix(picture, run.name, run.label, results.images.classes, counts, order)
    count = max(params.most_confused, MANY_CONFUSIONS * (len(counts) > MAX_COUNTS))
    confusions = list_confusions(results, run, count)
    blocks: list[Block] = [list_scores(results, run), matrix]
    if confusions:
        blocks.append(confusions)
    if len(run.maps):
        attention = Picture(
            file=f"attention-{run.name}.png",
            caption=describe_attention(run),
            alt="Images under heat maps, some predicted right and some wrong.",
            marks=results.mark(run),
        )
        blocks.append(attention)
    if mistakes := results.find_mistakes(run, SHOWN):
        rows = results.images.test_rows
        mistaken = Picture(
            file=f"mistakes-{run.name}.png",
            caption=f"The surest mistakes of {run.label}, test images",
            alt=f"Images with true and predicted class: {_list_mistakes(results, mistakes, rows)}.",
            marks=results.mark(run),
        )
        blocks.append(mistaken)
    return Section(run.label, blocks, level=3)


def render_markdown(report: Report) -> str:
    environment = _prepare(autoescape=False)
    environment.filters["md"] = escape_markdown
    return environment.get_template("report.md.j2").render(report=report)


def draw_sheets(results: Results) -> dict[str, Sheet]:
    """Return, by model, the images behind the cells of its confusion matrix; and the map's."""
    sheets = {SHEET: draw_map_sheet(results)}
    for run in results.runs:
        cells = pick_by_cell(results.score(run), results.images.test_labels, PER_CELL, PER_SHEET)
        sheets[run.name] = make_sheet(results.images.read_test, cells, results.describe(run))
    return sheets


def render_html(
    report: Report,
    figures: Mapping[str, bytes],
    sheets: Mapping[str, Sheet] | None = None,
    made: Made | None = None,
) -> str:
    """Render one page that holds all it shows and asks no one for anything.

    Args:
        figures: PNGs by file name.
        sheets: images of the confusion matrices, by model, and of the map.
        made: what stands at the foot of the page.
    """
    sheets = sheets or {}
    facts = {
        "report": report,
        "anchors": _name_anchors(report),
        "uris": {file: _inline("png", png) for file, png in figures.items()},
        "photos": {name: {"uri": _inline("jpeg", s.jpeg)} for name, s in sheets.items()},
        "describe_cells": partial(_describe_cells, sheets=sheets),
        "describe_chart": partial(_describe_chart, sheets=sheets),
        "style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "script": Markup(
            "\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in SCRIPTS)
        ),
        "made": made,
    }
    return _prepare(autoescape=True).get_template("report.html.j2").render(facts)


def _name_anchors(report: Report) -> list[str]:
    """Return an id for each section; what would be the second of its name gets a number."""
    names: list[str] = []
    for section in report.sections:
        n = sum(
            re.fullmatch(rf"{re.escape(section.anchor)}(-\d+)?", name) is not None for name in names
        )
        names.append(f"{section.anchor}-{n + 1}" if n else section.anchor)
    return names


def _describe_cells(block: Matrix | Difference, sheets: Mapping[str, Sheet]) -> dict[str, Any]:
    """Return what matrix.js reads: the cells that are not 0, row by row, and their images."""
    if isinstance(block, Difference):
        return {"minus": block.names}
    rows: list[list[int]] = [[] for _ in block.classes]
    for i, j in np.argwhere(block.counts):
        rows[i] += [int(j), int(block.counts[i, j])]
    facts = {"name": block.sheet, "label": block.label, "classes": block.classes}
    return facts | {"rows": rows, "order": block.order} | _describe_sheet(sheets.get(block.sheet))


def _describe_chart(block: Chart | Map, sheets: Mapping[str, Sheet]) -> dict[str, Any]:
    """Return what charts.js reads."""
    if isinstance(block, Chart):
        return block.data
    return block.data | {"name": block.sheet} | _describe_sheet(sheets.get(block.sheet))


def _describe_sheet(sheet: Sheet | None) -> dict[str, Any]:
    if sheet is None:
        return {}
    tiles = {f"{true},{predicted}": numbers for (true, predicted), numbers in sheet.tiles.items()}
    facts = {"columns": sheet.columns, "rows": sheet.rows, "tiles": tiles, "notes": sheet.notes}
    return {"sheet": facts}


def render_model_card(results: Results) -> str:
    """Describe the best model under the headings of the Hugging Face model card, in Markdown."""
    run, images = results.best, results.images
    trained = results.list_trained(run)
    recipes = list_recipes(replace(results, runs=trained))
    environment = _prepare(autoescape=False)
    environment.filters["md"] = escape_markdown
    counts = (f"{images.split[subset]['n']:,} {subset}" for subset in ("train", "val", "test"))
    facts = {
        "hub": describe_for_hub(results),
        "run": run,
        "images": images,
        "n_models": len(results.runs),
        "source": describe_source(images),
        "architecture": describe_architectures(run, trained),
        "weights": [(each.name, describe_weights(each)) for each in trained],
        "hardware": describe_trainings(trained),
        "failures": describe_failures(run, images.classes),
        "how": list(map(describe_result, [run, *trained] if run.members else trained)),
        "calibration": describe_calibration(run, results),
        "robustness": describe_robustness(run),
        "duplicates": describe_duplicates(results),
        "marks": results.mark(run),
        "split": f"Split: {join(counts)}",
        "recipes": recipes if run.members else replace(recipes, header=("Parameter", "Value")),
        "trained": trained,
        "verdict": describe_verdict(results),
        "scores": list_scores(results, run),
    }
    return environment.get_template("model-card.md.j2").render(facts)


def _inline(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def _prepare(autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
