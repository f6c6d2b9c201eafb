"""Say in words what the figures show; every sentence follows from the numbers it is given."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vision.evaluation.calibration import FEWEST, Calibration
from vision.evaluation.label_issues import FEWEST as FEWEST_IMAGES
from vision.evaluation.label_issues import WEAK
from vision.evaluation.significance import Pair
from vision.report.paper import HAND_MADE, HAND_MADE_GAIN, RECIPE
from vision.report.runs import Images, Results, Run

VIEWS = ("test_flip", "test_shift_px")  # params of a recipe that averages several views
KEPT = {
    "accuracy": "the highest validation accuracy",
    "macro_f1": "the highest macro F1 on validation",
    "loss": "the lowest validation loss",
}
OVERFIT_RISE = 0.05  # of the lowest validation loss; a smaller rise is called no more than that


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def interval(metrics: dict[str, Any]) -> str:
    return f"{100 * metrics['accuracy_low']:.1f} to {percent(metrics['accuracy_high'])}"


def subtract(a: float, b: float) -> float:
    """Return a - b in percentage points, of both as they are printed: a reader can check it."""
    return round(100 * a, 1) - round(100 * b, 1)


def points(size: float) -> str:
    """Return a difference in percentage points without its sign."""
    return f"{abs(size):.1f} points"


def signed(size: float) -> str:
    """Return a difference in percentage points with its sign."""
    return f"{size:+.1f}".replace("-", "\N{MINUS SIGN}")


def bounds(low: float, high: float) -> str:
    """Return the interval of a difference of two fractions, in percentage points."""
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", "\N{MINUS SIGN}")


def compare(a: float, b: float) -> str:
    """Say where the fraction `a` stands to the fraction `b`."""
    if a == b:
        return "level with"
    size = subtract(a, b)
    words = points(size) if abs(size) >= 0.05 else "under 0.1 points"
    return f"{words} {'above' if a > b else 'below'}"


def join(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def shorten(text: str, width: int) -> str:
    """Cut out the middle: names of classes and recipes often differ at their ends."""
    half = width // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-(width - half - 1) :]}"


def describe_source(images: Images) -> str:
    source = images.manifest["source"]
    titles = {"cifar10": "CIFAR-10", "digits": "scikit-learn digits"}
    return titles.get(source, f"A user's {source} of images")


def describe_verdict(results: Results) -> str:
    """Say which model validation chooses, what the test shows of it, and where it fails."""
    return f"{describe_choice(results)} {describe_details(results)}"


def describe_choice(results: Results) -> str:
    """Say in two sentences which model validation chooses, and what the test shows of it."""
    best, *others = results.rank()
    lead = _describe_lead(best, others, results.pairs) if others else ""
    return f"{_describe_best(best, others)} {lead}".rstrip()


def describe_details(results: Results) -> str:
    """Say what other seeds give the chosen model, and where it fails."""
    best = results.best
    return f"{_describe_seeds(best)} {describe_failures(best, results.images.classes)}".lstrip()


def _describe_best(best: Run, others: list[Run]) -> str:
    figures = best.metrics
    test = (
        f"its accuracy on the {figures['n']:,} test images is {percent(figures['accuracy'])} "
        f"({100 * figures['confidence']:g} % interval {interval(figures)})."
    )
    val = figures["val_accuracy"]
    if not others:
        return f"{best.label} has a validation accuracy of {percent(val)}, and {test}"
    level = [run.label for run in (best, *others) if run.metrics["val_accuracy"] == val]
    if len(level) > 1:
        return (
            f"{join(level)} share the highest validation accuracy, {percent(val)}; {best.label} "
            f"is the first of them, and {test}"
        )
    return f"{best.label} has the highest validation accuracy, {percent(val)}; {test}"


def _describe_lead(best: Run, others: list[Run], pairs: list[Pair]) -> str:
    """Say whether the test images show the chosen model to be better than every other."""
    facing = {
        run.name: next(pair for pair in pairs if {pair.better, pair.other} == {best.name, run.name})
        for run in others
    }
    ahead = [r for r in others if facing[r.name].is_significant and _is_ahead(r, facing[r.name])]
    rivals = [run for run in others if not facing[run.name].is_significant]
    shown = (ahead or rivals or others)[0]
    pair = facing[shown.name]
    evidence = _describe_pair(best, shown, pair, len(pairs))
    if ahead:
        return (
            f"On the test images {shown.label} is significantly better: {evidence}; the choice "
            "stays with validation: a model chosen by the test images would look better than it is."
        )
    if rivals:
        more = join(run.label for run in rivals[1:]) if rivals[1:] else ""
        also = f", nor is the difference from {more}" if more else ""
        return f"No model is shown to be best: {evidence}, which is not significant{also}."
    return (
        f"It is significantly better than {'each of the others' if others[1:] else shown.label}: "
        f"{evidence}; another sample of test images would hardly reverse it."
    )


def _is_ahead(run: Run, pair: Pair) -> bool:
    return pair.better == run.name


def _describe_pair(best: Run, other: Run, pair: Pair, n_pairs: int) -> str:
    """Set a model beside the chosen one, with the interval of the difference and p."""
    mine, its = best.metrics["accuracy"], other.metrics["accuracy"]
    level = best.metrics["confidence"]
    holm = f", Holm-corrected for {n_pairs} pairs" if n_pairs > 1 else ""
    return (
        f"{other.label} has {percent(its)}, {compare(its, mine)} {best.label} "
        f"({100 * level:g} % interval of the difference {bounds(*pair.bound_lead(level))} points, "
        f"p {p_value(pair.p)}, McNemar's exact test{holm})"
    )


def _describe_seeds(run: Run) -> str:
    mean = run.average("test")
    if mean is None:
        return ""
    return (
        f"Mean of {len(run.trainings)} seeds: {percent(mean.value)} "
        f"({100 * run.metrics['confidence']:g} % t-interval over seeds, on the same test images: "
        f"{100 * mean.low:.1f} to {percent(mean.high)})."
    )


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def describe_kept_epochs(results: Results) -> str:
    """Say by which figure of validation the epochs were chosen whose weights are kept."""
    by = {run.label: KEPT[find_select_by(run)] for run in results.trained}
    rules = list(dict.fromkeys(by.values()))
    if len(rules) == 1:
        every = "model" if len(results.trained) == len(results.runs) else "trained model"
        return f"Each {every} keeps the weights of the epoch with {rules[0]}"
    each = (
        f"{join(name for name, rule in by.items() if rule == wanted)} with {wanted}"
        for wanted in rules
    )
    return f"Each model keeps the weights of one epoch: {join(each)}"


def describe_result(run: Run) -> str:
    """Say what a model is the result of: an epoch of a training, or two models."""
    training = run.training
    if run.members:
        share = float(training["recipe"]["share"])
        first, second = (
            f"{percent(each)} of {name}"
            for each, name in zip((share, 1 - share), run.members, strict=True)
        )
        return f"The logits of {run.name} are the mean of those of two: {first} and {second}."
    return (
        f"Of {run.name} the epoch with {KEPT[find_select_by(run)]} is kept: "
        f"{training['best_epoch']} of {training['epochs']}."
    )


def find_select_by(run: Run) -> str:
    """Return the figure of validation that a recipe chooses its epoch by."""
    return str(run.training["recipe"].get("select_by", "accuracy"))


def describe_calibration(run: Run, results: Results) -> str:
    """Say how far a model's confidence is from its accuracy, and what temperature scaling gives."""
    plain = results.calibrate(run)
    return (
        f"Its mean confidence is {percent(plain.mean_confidence)}, its accuracy "
        f"{percent(run.metrics['accuracy'])}: {_describe_habit(run, plain)}. "
        f"{_describe_error(plain)} {_describe_scaling(run, results)}"
    )


def _describe_habit(run: Run, plain: Calibration) -> str:
    gap = subtract(plain.mean_confidence, run.metrics["accuracy"])
    if run.metrics["accuracy_low"] <= plain.mean_confidence <= run.metrics["accuracy_high"]:
        return "within the interval of the accuracy"
    return f"{'over' if gap > 0 else 'under'}confident by {points(gap)}"


def _describe_error(plain: Calibration) -> str:
    luck = plain.luck
    chance = (
        f"a perfectly calibrated model would show {percent(luck.mean)} on as many images, up to "
        f"{percent(luck.high)} by chance"
    )
    if plain.error <= luck.high:
        return f"Its ECE, {percent(plain.error)}, is no sign of miscalibration: {chance}."
    return f"Its ECE is {percent(plain.error)}; {chance}."


def _describe_scaling(run: Run, results: Results) -> str:
    found = results.temperatures[run.name]
    if not found.is_fitted:
        return (
            f"No temperature was chosen: validation has {found.n_wrong:,} wrong of {found.n_val:,} "
            f"images, and it takes {FEWEST} wrong and {FEWEST} right ones."
        )
    before, after = results.calibrate(run), results.calibrate(run, found.temperature)
    scaled = f"Temperature scaling by {found.temperature:.2f}"
    if after.error >= before.error:
        return f"{scaled} does not help: the ECE is then {percent(after.error)}."
    rest = (
        "as low as chance allows"
        if after.error <= after.luck.high
        else f"above the {percent(after.luck.high)} that chance could explain"
    )
    return f"{scaled} brings the ECE to {percent(after.error)}, {rest}."


def describe_doubts(results: Results) -> str:
    """Say which labels a model doubts, and how, or that it is too weak to doubt any."""
    best, n = results.best, len(results.images.judged_rows)
    accuracy = percent(results.doubter_accuracy)
    if results.is_too_weak:
        return (
            f"{best.label} is right for {accuracy} of the {n:,} val and test images, too few to "
            f"doubt a label: that takes {percent(WEAK)}."
        )
    issues, wrong = results.label_issues, round(n * (1 - results.doubter_accuracy))
    how = (
        "A label is in doubt if the predicted class is another one, and its calibrated probability "
        "is no less than the mean that the model gives this class on the images with its label: "
        "confident learning (Northcutt et al., 2021), for classes of "
        f"{FEWEST_IMAGES} images or more."
    )
    if not issues:
        return f"{best.label} doubts none of the labels of the {n:,} val and test images. {how}"
    return (
        f"{best.label} doubts {len(issues):,} of the labels of the {n:,} val and test images "
        f"({percent(len(issues) / n)}), of {wrong:,} that it predicts otherwise. {how} It is wrong "
        "itself in many of these cases. No label was changed, and none counts less."
    )


def describe_failures(run: Run, classes: Sequence[str]) -> str:
    """Name the classes with the lowest F1 and the most frequent error."""
    errors = find_most_confused(run.metrics["confusion"], classes, 2)
    if not errors:
        return f"{run.label} makes no errors on these images."
    true, predicted, count, rate = errors[0]
    tied = len(errors) > 1 and errors[1][2] == count
    which = "One of the most frequent errors" if tied else "The most frequent error"
    return (
        f"{_describe_weakest(run, classes)} {which}: true {true}, predicted {predicted}, "
        f"{count:,} of {round(count / rate):,} images ({percent(rate)})."
    )


def _describe_weakest(run: Run, classes: Sequence[str]) -> str:
    """Name the classes of lowest F1, and say where the intervals of others overlap theirs."""
    weakest, score = find_weakest(run, classes)
    f1 = f"{percent(score['f1'])} ({100 * score['f1_low']:.1f} to {percent(score['f1_high'])})"
    if len(weakest) > 1:
        return f"{join(weakest)} share the lowest F1 of {run.label}, {f1}."
    others = [each for each in run.metrics["per_class"] if each["support"] and each is not score]
    n_near = sum(each["f1_low"] <= score["f1_high"] for each in others)
    near = f"; the intervals of {n_near} of the others overlap" if n_near else ""
    return f"{weakest[0]} has the lowest F1 of {run.label}, {f1}{near}."


def find_weakest(run: Run, classes: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the classes with the lowest F1 of those that the test images show, and its scores."""
    scores = zip(classes, run.metrics["per_class"], strict=True)
    shown = {name: each for name, each in scores if each["support"]}
    lowest = min(shown.values(), key=lambda each: float(each["f1"]))
    return [name for name, each in shown.items() if each["f1"] == lowest["f1"]], lowest


def find_most_confused(
    confusion: list[list[int]], classes: Sequence[str], count: int
) -> list[tuple[str, str, int, float]]:
    """Return the most frequent errors: true class, predicted class, images, share of the true.

    Equal counts rank by that share, then by the order of the classes.
    """
    matrix = np.array(confusion)
    rates = matrix / matrix.sum(1, keepdims=True).clip(1)
    cells = [(int(i), int(j)) for i, j in np.argwhere(matrix) if i != j]
    cells.sort(key=lambda cell: (-matrix[cell], -rates[cell]))
    return [(classes[i], classes[j], int(matrix[i, j]), float(rates[i, j])) for i, j in cells][
        :count
    ]


def describe_baseline(results: Results) -> str:
    """Say what a model is worth that always names the class most frequent in training."""
    images = results.images
    counts = images.class_counts["train"]
    most = int(np.argmax(counts))
    share = float((images.test_labels == most).mean())
    return (
        f"Baseline: always to say {images.classes[most]}, the most frequent class of the training "
        f"images, is right for {percent(share)} of the test images."
    )


def describe_load(results: Results) -> str:
    """Say for which models the machine was busy with other work while their cost was measured."""
    loaded = [run for run in results.runs if run.cost.get("was_loaded")]
    if not loaded:
        return ""
    cores = join(f"{run.cost['cores_busy_elsewhere']:.1f} for {run.label}" for run in loaded)
    stages = " ".join(f"evaluate@{run.name}" for run in loaded)
    return (
        f"Other programs took part of the machine's {loaded[0].cost['cores']} cores while times "
        f"were measured ({cores}): these times are longer than need be. To measure again: dvc "
        f"repro --force --single-item {stages}."
    )


def describe_duplicates(results: Results) -> str:
    """Say how many test images are in training too, and what the best model is worth without."""
    found, n = results.duplicates, results.duplicates["n_test"]
    pairs, exact = found["pairs"], sum(pair["is_exact"] for pair in found["pairs"])
    copies = f"{exact:,} of the {n:,} test images equal{'s' * (exact == 1)} a training image"
    copies = f"{copies} pixel for pixel." if exact else "No test image equals one pixel for pixel."
    if found["is_too_alike"]:
        return (
            f"These images are too alike to tell near-duplicates: {percent(found['test_share'])} "
            f"of the {n:,} test images are much like a training image of their class (the "
            f"correlation of their detail is {found['min_correlation']:g} or more), and so are "
            f"{percent(found['train_share'] or 0)} of the training images. {copies}"
        ) + _describe_others(results)
    if found["threshold"] is None:
        return f"Too few training images to tell near-duplicates. {copies}" + _describe_others(
            results
        )
    if not pairs:
        return f"No near-duplicate of the {n:,} test images was found among the training images."
    have = "has a near-duplicate" if len(pairs) == 1 else "have near-duplicates"
    return (
        f"At least {len(pairs):,} of the {n:,} test images ({percent(len(pairs) / n)}) {have} "
        f"of their class among the training images. {copies}"
    ) + _describe_others(results)


def _describe_others(results: Results) -> str:
    """Say what the best model is worth on the test images that are not found in training."""
    if not results.duplicates["pairs"]:
        return ""
    best, others = results.best, results.judge_without_duplicates(results.best)
    if others is None:
        return f" No other is left to measure the accuracy of {best.label} on."
    return (
        f" On the others the accuracy of {best.label} is {percent(others.value)} "
        f"({100 * others.low:.1f} to {percent(others.high)}), on all "
        f"{percent(best.metrics['accuracy'])}."
    )


def describe_curves(run: Run) -> str:
    """Say how far training and validation part, and whether the net overfits."""
    history = run.history
    last = history.iloc[-1]
    recipe = run.training.get("recipe", {})
    views = " by one view of each image" * any(recipe.get(key) for key in VIEWS)
    relation = (
        f"training accuracy is {percent(last.train_accuracy)}, "
        f"{compare(last.train_accuracy, last.val_accuracy)} validation "
        f"({percent(last.val_accuracy)}{views})"
    )
    if len(history) == 1:
        return f"After its only epoch, {relation}."
    lowest = history.iloc[int(history.val_loss.argmin())]
    return (
        f"At its last epoch ({last.epoch:.0f}), {relation}, and {_describe_val_loss(lowest, last)}."
    )


def _describe_val_loss(lowest: pd.Series, last: pd.Series) -> str:
    if lowest.epoch == last.epoch:
        return f"validation loss is at its lowest, {last.val_loss:.3f}"
    change = f"its lowest, {lowest.val_loss:.3f} (epoch {lowest.epoch:.0f})"
    if last.val_loss <= lowest.val_loss * (1 + OVERFIT_RISE):
        return f"validation loss, {last.val_loss:.3f}, is close to {change}"
    rise = f"validation loss rose from {change}, to {last.val_loss:.3f}"
    if last.train_loss < lowest.train_loss:
        return f"{rise} while training loss fell: the net overfits"
    return f"{rise}, and training loss did not fall either"


def describe_transfer(results: Results) -> str | None:
    """Set the paper's recipe beside networks from random weights, where the report has both."""
    ours = results.find(RECIPE)
    hand_made = [run for run in results.runs if run.training["family"] == "baselines"]
    if ours is None or not hand_made:
        return None
    paper_made = [run for run in hand_made if run.training["architecture"] in HAND_MADE]
    others = [run for run in hand_made if run not in paper_made]
    parts = []
    if paper_made:
        parts.append(_describe_gain(ours, max(paper_made, key=_get_val)))
    if others:
        parts.append(_describe_limit(ours, max(others, key=_get_val), results))
    return " ".join(parts)


def _get_val(run: Run) -> float:
    return float(run.training["val_accuracy"])


def _describe_gain(ours: Run, best: Run) -> str:
    """Set the paper's recipe beside the better of its own hand-made networks."""
    mine, its = ours.metrics["accuracy"], best.metrics["accuracy"]
    return (
        f"The paper puts ResNet18 {points(100 * HAND_MADE_GAIN)} above its hand-made networks, "
        f"but sets test beside validation. On the same test images, {ours.label} has "
        f"{percent(mine)}, {compare(mine, its)} {best.label}, {percent(its)}, of these networks "
        "the one with the highest validation accuracy. "
        f"{_describe_convergence(ours, best)} {_describe_cost(ours, best)}"
    ).rstrip()


def _describe_limit(ours: Run, other: Run, results: Results) -> str:
    """Say whether a network from random weights does without what the paper transfers."""
    mine, its = ours.metrics["accuracy"], other.metrics["accuracy"]
    pair = next(p for p in results.pairs if {p.better, p.other} == {ours.name, other.name})
    facts = (
        f"{other.label}, from random weights, has {percent(its)}, {compare(its, mine)} "
        f"{ours.label} (p {p_value(pair.p)}, as in the table of differences)"
    )
    if not pair.is_significant:
        meaning = "such a network is not shown to be worse than the paper's ResNet18"
    elif pair.better == other.name:
        meaning = (
            "what is limited is the paper's hand-made networks and how they are trained, not what "
            "networks without pretrained weights can reach"
        )
    else:
        meaning = "it does not make up for what the paper's ResNet18 has"
    return f"{facts}: {meaning}. {_describe_cost(other, ours)}".rstrip()


def _describe_convergence(ours: Run, other: Run) -> str:
    target, history = other.training["val_accuracy"], ours.history
    reached = history[history.val_accuracy >= target]
    when = f"in epoch {reached.epoch.iloc[0]}" if len(reached) else "in none of its epochs"
    return (
        f"It reaches that network's best validation accuracy, {percent(target)} "
        f"(epoch {other.training['best_epoch']}), {when}."
    )


def _describe_cost(ours: Run, other: Run) -> str:
    if any(ours.timing[key] != other.timing[key] for key in ("device", "threads")):
        return ""
    ratio = ours.timing["train_seconds"] / max(other.timing["train_seconds"], 0.1)
    return (
        f"The training of {ours.label} took {ratio:.1f} times as long as that of {other.label}, on "
        "the same hardware."
    )


def escape_markdown(text: str) -> str:
    """Keep text from being read as GitHub-flavoured Markdown, HTML, mathematics or a table."""
    return re.sub(r"([\\`*_\[\]<>|~&#$])", r"\\\1", " ".join(text.split()))
