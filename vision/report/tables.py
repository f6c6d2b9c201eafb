"""The tables of the report. Shares are in percent with one decimal, differences in points."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from vision.evaluation.metrics import SCORES
from vision.evaluation.probabilities import FEWEST_FOR_TOP, summarise_probabilities
from vision.report.blocks import Items, Table
from vision.report.paper import CLAIMS, FIGURE_4, FIGURE_4_MACRO, FIGURE_4_WEIGHTED, Scores
from vision.report.runs import FREE_MARK, IMAGES_MARK, WEIGHTS_MARK, Images, Results, Run
from vision.report.words import (
    bounds,
    describe_source,
    find_most_confused,
    interval,
    join,
    p_value,
    signed,
    subtract,
)

NONE = "\N{EN DASH}"  # where a table has nothing to say
UNEQUAL = 1.5  # times as many images of one class as of another
SUBSETS = ("train", "val", "test")
DOUBTS = 50  # files that are listed
ROWS = 40  # classes that Markdown lists; more are sorted by F1, and the page has all
WHO = ("paper's", "ours")
AS_MEMBERS = "as those of {}"  # said of a model that is the mean of others
FREE = (
    "trained with kernels that are faster and not deterministic: the same recipe and seed give "
    "another model, and other figures, each time"
)
NOT_OFFICIAL = "not on the official ones: see Conditions and provenance"


def share(fraction: float | None) -> str:
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def difference(measured: float, claimed: float) -> str:
    return signed(subtract(measured, claimed))


def list_conditions(results: Results) -> Table:
    images, runs = results.images, results.runs
    rows = _list_image_conditions(images)
    rows += _group(runs, "Weights of", describe_weights)
    rows += _group(runs, "Seed of", describe_seeds)
    rows += _group(runs, "Hardware of", describe_hardware)
    rows += _list_kinds(runs)
    return Table("What the figures were measured on", ("Condition", "Value"), rows, n_left=2)


def _list_image_conditions(images: Images) -> list[tuple[str, ...]]:
    manifest, counts = images.manifest, [images.split[subset]["n"] for subset in SUBSETS]
    return [
        ("Images", f"{describe_source(images)}: {manifest['name']}{_describe_status(images)}"),
        ("Their provenance", manifest["note"]),
        ("Their SHA-256", f"{manifest['sha256']} ({_describe_image_check(images)})"),
        (
            "Their size",
            f"{manifest['n_images']:,} images of {manifest['image_px']} x {manifest['image_px']} "
            f"pixels in {manifest['n_classes']} classes",
        ),
        ("Split", join(f"{n:,} {subset}" for n, subset in zip(counts, SUBSETS, strict=True))),
        *_list_rare(images),
    ]


def _describe_status(images: Images) -> str:
    """Say whether the images are the official ones, where there are such."""
    if images.is_stand_in:
        return f", stand-in {IMAGES_MARK}"
    return ", official" if images.has_official else ""


def _describe_image_check(images: Images) -> str:
    if images.has_official:
        return describe_check(images.manifest)
    return "verification: not applicable, as no official checksum exists"


def _list_rare(images: Images) -> list[tuple[str, ...]]:
    """Return a row where classes have too few images to be judged on any."""
    if not (rare := images.split.get("rare")):
        return []
    named = join(f"{name} ({why})" for name, why in rare.items())
    return [("In train alone, for too few images", named)]


def describe_check(manifest: dict[str, Any]) -> str:
    verified = manifest["verified"]
    return f"verified: {verified}" if verified else "not verified"


def describe_weights(run: Run) -> str:
    if run.members:
        return AS_MEMBERS.format(join(run.members))
    weights = run.training["pretrained"]
    if weights is None or weights["weights"] == "none":
        return "drawn at random"
    official = "official" if weights["official"] else "the user's own"
    status = f"stand-in {WEIGHTS_MARK}" if run.rests_on_stand_in else official
    return (
        f"{weights['name']}, {status}. {weights['note']} "
        f"SHA-256 {weights['sha256']} ({describe_check(weights)})"
    )


def describe_seeds(run: Run) -> str:
    first, *further = (f"{each['seed']}" for each in run.trainings)
    if not further:
        return f"{first} (n = 1, trained once)"
    n = 1 + len(further)
    return f"{first}; for mean and interval also {join(further)} (n = {n} trainings)"


def describe_hardware(run: Run) -> str:
    if run.members:
        return AS_MEMBERS.format(join(run.members))
    timing = run.timing
    threads = f"{timing['threads']} thread" + "s" * (timing["threads"] != 1)
    kind = f", {timing['kind']}" if timing.get("kind", "GPU") != "GPU" else ""
    return f"{timing['device']}{kind}, {threads}, torch {timing['torch']}"


def describe_architectures(run: Run, trained: list[Run]) -> str:
    """Say which networks a model consists of, and what size of images they see."""
    networks = {one.name: _describe_network(one) for one in trained}
    if run.members:
        return f"the mean of {join(f'{name} ({what})' for name, what in networks.items())}"
    return networks[run.name]


def _describe_network(run: Run) -> str:
    px = run.training["input_px"]
    return f"{run.training['architecture']}, {px} x {px} pixels"


def describe_trainings(trained: list[Run]) -> str:
    """Say how long each model was trained, and on what."""
    seconds = [f"{one.timing['train_seconds']:,.0f} s" for one in trained]
    if len(trained) == 1:
        return f"{seconds[0]} of training on {describe_hardware(trained[0])}"
    return join(
        f"{each} of training {one.name} on {describe_hardware(one)}"
        for each, one in zip(seconds, trained, strict=True)
    )


def _list_kinds(runs: list[Run]) -> list[tuple[str, ...]]:
    """Return a row where models were trained on processors of several kinds."""
    kinds = sorted({run.timing["kind"] for run in runs if "kind" in run.timing})
    if len(kinds) < 2:
        return []
    text = f"{join(kinds)}: the last digits of a training depend on the kind, differences too"
    return [("Kinds of processor", text)]


def _group(runs: list[Run], title: str, describe: Callable[[Run], str]) -> list[tuple[str, ...]]:
    """Return one row for all models that share a description."""
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(describe(run), []).append(run.name)
    every = "all models"
    return [
        (f"{title} {every if len(same) == len(runs) else join(same)}", text)
        for text, same in names.items()
    ]


def list_stand_ins(results: Results) -> Items | None:
    """Return the footnotes that the marks point at."""
    items = []
    if results.images.is_stand_in:
        items.append((IMAGES_MARK, f"rests on stand-in images, {NOT_OFFICIAL}"))
    if any(run.rests_on_stand_in for run in results.runs):
        items.append((WEIGHTS_MARK, f"rests on stand-in weights, {NOT_OFFICIAL}"))
    if not all(run.is_deterministic for run in results.runs):
        items.append((FREE_MARK, FREE))
    return Items(items, anchor="stand-ins") if items else None


def list_models(results: Results) -> Table:
    level = results.runs[0].metrics["confidence"]
    header = (
        "Model",
        "Test %",
        f"{100 * level:g} % interval",
        *["Balanced %"] * has_unequal_classes(results),
        "Val %",
        "Train %",
        "Last test %",
        "Last val %",
        "Kept",
        "Epochs",
        "Parameters",
        "Seconds",
    )
    caption = (
        "Train, val and test accuracy are those of the kept epoch, last those of the last "
        "epoch; seconds are the training's, validation included."
    )
    if len(results.trained) < len(results.runs):
        caption += " A model of two, by the mean of their logits, has the seconds of both."
    if has_unequal_classes(results):
        caption += (
            " Balanced is the mean recall over the classes of the test images, which are unequal."
        )
    rows = [_list_model(run, has_unequal_classes(results)) for run in results.runs]
    return Table(caption, header, rows, results.mark())


def has_unequal_classes(results: Results) -> bool:
    """Say whether a class has UNEQUAL times the test images of another, or more."""
    counts = [count for count in results.images.class_counts["test"] if count]
    return max(counts, default=1) >= UNEQUAL * min(counts, default=1)


def _list_model(run: Run, is_unequal: bool) -> tuple[str, ...]:
    training, metrics = run.training, run.metrics
    return (
        run.label,
        share(metrics["accuracy"]),
        interval(metrics).removesuffix(" %"),
        *[share(metrics["macro_avg"]["recall"])] * is_unequal,
        share(metrics["val_accuracy"]),
        share(training.get("train_accuracy")),
        share(metrics["last_epoch"]["accuracy"]),
        share(metrics["last_epoch"]["val_accuracy"]),
        str(training.get("best_epoch", NONE)),
        str(training.get("epochs", NONE)),
        f"{training['parameters']:,}",
        f"{run.timing['train_seconds']:,.0f}",
    )


def list_seeds(results: Results) -> Table | None:
    """List the recipes that were trained with several seeds."""
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        val, test = run.average("val"), run.average("test")
        if val and test:
            each = ", ".join(share(training["test_accuracy"]) for training in run.trainings)
            figures = [
                f"{share(mean.value)} [{share(mean.low)}, {share(mean.high)}]"
                for mean in (val, test)
            ]
            rows.append((run.label, str(len(run.trainings)), *figures, each))
    header = ("Model", "Trainings", "Val %", "Test %", "Test % of each")
    level = results.runs[0].metrics["confidence"]
    caption = (
        "Means over seeds, each training at its kept epoch, with "
        f"{100 * level:g} % t-intervals over seeds, on the same images"
    )
    return Table(caption, header, rows, results.mark()) if rows else None


def list_claims(results: Results) -> Table:
    """Set the paper's claims beside the kept and the last epoch of the models that repeat them."""
    words = ("Model", "Accuracy", "In the paper")
    header = (*words, "Claimed %", "Kept %", "Points", "Last %", "Points")
    rows: list[tuple[str, ...]] = []
    runs: list[Run] = []
    for claim in CLAIMS:
        if run := results.find(claim.model):
            kept, last = get_accuracies(run, claim.subset)
            figures = [share(claim.accuracy)]
            for measured in (kept, last):
                figures += [share(measured), difference(measured, claim.accuracy)]
            rows.append((run.label, claim.subset, claim.where, *figures))
            runs.append(run)
    caption = "The paper's claims, and what is measured at the kept and at the last epoch"
    return Table(caption, header, rows, results.mark(*runs), n_left=3)


def get_accuracies(run: Run, subset: str) -> tuple[float, float]:
    """Return the accuracies on a subset at the kept and at the last epoch."""
    if subset == "test":
        return run.metrics["accuracy"], run.metrics["last_epoch"]["accuracy"]
    key = f"{subset}_accuracy"
    return run.training[key], run.training["last"][key]


def list_figure_4(results: Results, run: Run) -> Table:
    """Set Figure 4 of the paper beside the same scores of a model."""
    header = ("Class", *(f"{s}, {who}" for s in ("Precision", "Recall", "F1") for who in WHO))
    claims = [*FIGURE_4.values(), FIGURE_4_MACRO, FIGURE_4_WEIGHTED]
    ours = dict(zip(results.images.classes, run.metrics["per_class"], strict=True))
    scores = [*(ours[name] for name in FIGURE_4)]
    scores += [run.metrics["macro_avg"], run.metrics["weighted_avg"]]
    names = [*FIGURE_4, "macro average", "weighted average"]
    rows = [
        (name, *_compare_scores(claim, score), difference(score["f1"], claim.f1))
        for name, claim, score in zip(names, claims, scores, strict=True)
    ]
    caption = (
        f"Figure 4 of the paper beside {run.label}, test images, in percent; points are those of F1"
    )
    return Table(caption, (*header, "Points"), rows, results.mark(run))


def _compare_scores(claim: Scores, ours: dict[str, Any]) -> tuple[str, ...]:
    pairs = [(claim.precision, "precision"), (claim.recall, "recall"), (claim.f1, "f1")]
    return tuple(cell for value, key in pairs for cell in (f"{100 * value:.0f}", share(ours[key])))


def list_doubts(results: Results) -> Table:
    """List the files whose labels are most in doubt."""
    images, best = results.images, results.best
    n_val = len(images.val_rows)
    rows: list[tuple[str, ...]] = [
        (
            images.names[int(images.judged_rows[doubt.position])],
            "val" if doubt.position < n_val else "test",
            images.classes[doubt.true],
            images.classes[doubt.predicted],
            share(doubt.confidence),
        )
        for doubt in results.label_issues[:DOUBTS]
    ]
    header = ("File", "Part", "Label", "Taken for", "Confidence %")
    few = f", the first {DOUBTS}" if len(results.label_issues) > DOUBTS else ""
    caption = f"Labels that {best.label} doubts most{few}"
    return Table(caption, header, rows, results.mark(best), n_left=4, is_sortable=True)


def list_predictions(results: Results) -> pd.DataFrame:
    """Return what each model says of each val and test image, a row each: predictions.csv."""
    images = results.images
    classes, labels = (
        np.array(images.classes),
        np.concatenate([images.val_labels, images.test_labels]),
    )
    rows = images.judged_rows.tolist()
    facts = {
        "path": [images.names[row] for row in rows],
        "split": ["val"] * len(images.val_rows) + ["test"] * len(images.test_rows),
        "label": classes[labels],
    }
    doubted = {issue.position for issue in results.label_issues}
    twins = {pair["test_row"]: pair["train_row"] for pair in results.duplicates["pairs"]}
    notes = {
        "in_doubt": ["yes" if position in doubted else "" for position in range(len(rows))],
        "near_duplicate_of": [images.names[twins[row]] if row in twins else "" for row in rows],
    }
    said = [
        pd.DataFrame(facts | {"model": run.name} | _list_said(results, run, classes) | notes)
        for run in results.runs
    ]
    return pd.concat(said, ignore_index=True)


def _list_said(results: Results, run: Run, classes: np.ndarray) -> dict[str, np.ndarray]:
    plain, scaled = (
        [results.score(run, subset, by) for subset in ("val", "test")] for by in (1.0, None)
    )
    return {
        "prediction": classes[np.concatenate([each.predicted for each in plain])],
        "confidence": np.concatenate([each.confidence for each in plain]),
        "calibrated_confidence": np.concatenate([each.confidence for each in scaled]),
        "label_probability": np.concatenate([each.of_label for each in scaled]),
    }


def list_f1(results: Results) -> Table:
    header = ("Class", "Images", *(run.label for run in results.runs))
    scores = [run.metrics["per_class"] for run in results.runs]
    rows = [
        (name, f"{each[0]['support']:,}", *(share(score["f1"]) for score in each))
        for name, *each in _sort_many(zip(results.images.classes, *scores, strict=True))
    ]
    macro = (share(run.metrics["macro_avg"]["f1"]) for run in results.runs)
    rows.append(("macro average", f"{results.best.metrics['n']:,}", *macro))
    caption = f"F1 in percent, test images{note_missing(results.runs)}"
    look: dict[str, Any] = {"n_fixed": 1, "is_sortable": True, "n_shown": ROWS}
    return Table(caption, header, rows, results.mark(), **look)


def _sort_many(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return classes, (name, score, ...), as they come; more than are shown, weakest F1 first."""
    every = list(rows)
    if len(every) <= ROWS:
        return every

    def rank(row: tuple[Any, ...]) -> float:
        found = [score["f1"] for score in row[1:] if score["f1"] is not None]
        return sum(found) / len(found) if found else 2

    return sorted(every, key=rank)


def list_scores(results: Results, run: Run) -> Table:
    metrics = run.metrics
    named = _sort_many(zip(results.images.classes, metrics["per_class"], strict=True))
    averages = [
        ("macro average", metrics["macro_avg"]),
        ("weighted average", metrics["weighted_avg"]),
    ]
    rows: list[tuple[str, ...]] = [
        (name, *(bounded(score, key) for key in SCORES), f"{score['support']:,}")
        for name, score in named
    ]
    rows += [
        (name, *(share(score[key]) for key in SCORES), f"{score['support']:,}")
        for name, score in averages
    ]
    rows.append(("accuracy", "", "", bounded(metrics, "accuracy"), f"{metrics['n']:,}"))
    header = ("Class", "Precision %", "Recall %", "F1 %", "Images")
    caption = (
        f"{run.label} by class, test images, with {100 * metrics['confidence']:g} % intervals; the "
        f"averages have none{note_missing([run])}"
    )
    look: dict[str, Any] = {"n_fixed": 3, "is_sortable": True, "n_shown": ROWS}
    return Table(caption, header, rows, results.mark(run), **look)


def note_missing(runs: list[Run]) -> str:
    """Explain the scores that are not there, if any is not."""
    scores = [score for run in runs for score in run.metrics["per_class"]]
    if all(score[key] is not None for score in scores for key in SCORES):
        return ""
    return f"; {NONE}: no test image, or no prediction, of the class, and averages leave it out"


def bounded(score: dict[str, Any], key: str) -> str:
    """Return a score in percent with its interval, if it is there."""
    if score[key] is None:
        return NONE
    return f"{share(score[key])} [{share(score[f'{key}_low'])}, {share(score[f'{key}_high'])}]"


def list_confusions(results: Results, run: Run, count: int) -> Table | None:
    found = find_most_confused(run.metrics["confusion"], results.images.classes, count)
    rows: list[tuple[str, ...]] = [
        (true, predicted, f"{images:,}", share(rate)) for true, predicted, images, rate in found
    ]
    header = ("True class", "Predicted", "Images", "% of the true class")
    caption = f"Most frequent errors of {run.label}, test images"
    return Table(caption, header, rows, results.mark(run), n_left=2) if rows else None


def list_pairs(results: Results) -> Table | None:
    labels = {run.name: run.label for run in results.runs}
    accuracies = {run.name: run.metrics["accuracy"] for run in results.runs}
    level = results.runs[0].metrics["confidence"]
    rows: list[tuple[str, ...]] = [
        (
            labels[pair.better],
            labels[pair.other],
            f"{pair.only_better:,}",
            f"{pair.only_other:,}",
            difference(accuracies[pair.better], accuracies[pair.other]),
            bounds(*pair.bound_lead(level)),
            p_value(pair.p).removeprefix("= "),
        )
        for pair in results.pairs
    ]
    interval = f"{100 * level:g} % interval"
    header = ("A", "B", "Only A right", "Only B right", "A \N{MINUS SIGN} B, points", interval, "p")
    caption = "Every two models on the same test images, and the difference of their accuracies"
    return Table(caption, header, rows, results.mark(), n_left=2) if rows else None


def list_calibration(results: Results) -> Table:
    header = (
        "Model",
        "Accuracy %",
        "Mean confidence %",
        "ECE %",
        "ECE by chance %",
        "Temperature",
        "ECE after scaling %",
        "Then by chance %",
    )
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        found = results.temperatures[run.name]
        plain, scaled = results.calibrate(run), results.calibrate(run, found.temperature)
        figures = (run.metrics["accuracy"], plain.mean_confidence, plain.error, plain.luck.mean)
        after = (f"{found.temperature:.2f}", share(scaled.error), share(scaled.luck.mean))
        rest = after if found.is_fitted else (NONE,) * len(after)
        rows.append((run.label, *map(share, figures), *rest))
    caption = (
        "Confidence as trained, and expected calibration error (ECE), test images; by chance: the "
        "mean ECE of a model that is right exactly as often as its confidence says"
    )
    return Table(caption, header, rows, results.mark())


def list_probabilities(results: Results) -> Table:
    """List the proper scores of the predicted probabilities, before and after scaling."""
    n_classes = len(results.images.classes)
    has_top = n_classes >= FEWEST_FOR_TOP
    header = ("Model", "Log loss", "Brier", "Log loss, scaled", "Brier, scaled")
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        plain, scaled = (
            summarise_probabilities(results.score(run, "test", by), n_classes) for by in (1.0, None)
        )
        is_scaled = results.temperatures[run.name].is_fitted
        scores = [
            f"{each[key]:.3f}" if each is plain or is_scaled else NONE
            for each in (plain, scaled)
            for key in ("log_loss", "brier")
        ]
        top = (share(plain["top_5_accuracy"]),) if has_top else ()
        rows.append((run.label, *scores, *top))
    caption = (
        "Scores of the predicted probabilities, test images: mean log loss in nats and Brier score "
        "(0 to 2), both the lower the better; scaled: after temperature scaling"
    )
    return Table(caption, (*header, *["Top-5 %"] * has_top), rows, results.mark())


def list_class_counts(results: Results) -> Table:
    """List how many images of each class there are in train, val and test."""
    counts = [results.images.class_counts[subset] for subset in SUBSETS]
    rows: list[tuple[str, ...]] = [
        (name, *(f"{n:,}" for n in each))
        for name, *each in zip(results.images.classes, *counts, strict=True)
    ]
    header = ("Class", "Train", "Val", "Test")
    return Table("Images by class", header, rows, is_sortable=True, n_shown=ROWS)


def list_costs(results: Results) -> Table:
    batch = results.runs[0].cost["batch_sizes"][-1]
    header = (
        "Model",
        "Parameters",
        "MB",
        "GFLOP an image",
        "1 image, ms",
        "1 photo with decoding, ms",
        f"Images a second, {batch} at once",
        "Training, s",
    )
    rows: list[tuple[str, ...]] = [
        (
            run.label,
            f"{run.cost['parameters']:,}",
            f"{run.cost['bytes'] / 1e6:.1f}",
            f"{run.cost['flops_per_image'] / 1e9:.3f}",
            _show_times(run, "latency_ms"),
            _show_times(run, "photo_ms"),
            _show_times(run, "images_per_second", 0),
            f"{run.timing['train_seconds']:,.0f}",
        )
        for run in results.runs
    ]
    device, threads = (results.runs[0].cost[key] for key in ("device", "threads"))
    caption = (
        f"What a model costs to use; times on {device}, {threads} thread{'s' * (threads != 1)}: "
        "the median of the repeats, [quartiles] and the best; preparation of the images included, "
        "all views where a model looks at several. The photo is a JPEG of 640 x 427 pixels"
    )
    return Table(caption, header, rows)


def _show_times(run: Run, key: str, digits: int = 1) -> str:
    """Return a median with its quartiles and the best, of which older results have none."""
    if key not in run.cost:
        return NONE
    middle = f"{run.cost[key]:,.{digits}f}"
    if f"{key}_best" not in run.cost:
        return middle
    low, high = run.cost[f"{key}_quartiles"]
    best = run.cost[f"{key}_best"]
    return f"{middle} [{low:,.{digits}f}, {high:,.{digits}f}], {best:,.{digits}f}"


def list_recipes(results: Results) -> Table:
    recipes = [
        {"architecture": run.training["architecture"]} | run.training["recipe"]
        for run in results.runs
    ]
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    rows = [(key, *(_show(recipe.get(key, NONE)) for recipe in recipes)) for key in keys]
    header = ("Parameter", *(run.name for run in results.runs))
    return Table("The params of each recipe", header, rows)


def _show(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(_show, value))
        case _:
            return str(value)
