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
from vision.report.paper import HAND_MADE_GAIN, RECIPE
from vision.report.runs import Images, Results, Run

OVERFIT_RISE = 0.05  # of the lowest validation loss; a smaller rise is called no more than that


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def interval(metrics: dict[str, Any]) -> str:
    return f"{100 * metrics['accuracy_low']:.1f} to {percent(metrics['accuracy_high'])}"


def points(fraction: float) -> str:
    """Return a difference of two fractions without its sign, in percentage points."""
    size = abs(100 * fraction)
    return f"{size:.1f} points" if size >= 0.05 or size == 0 else "under 0.1 points"


def compare(a: float, b: float) -> str:
    """Say where the fraction `a` stands to the fraction `b`."""
    if a == b:
        return "level with"
    return f"{points(a - b)} {'above' if a > b else 'below'}"


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
    """Say which model is best on the test images, by how much, and where it fails."""
    ranking = results.rank()
    failures = describe_failures(ranking[0], results.images.classes)
    lead = _describe_lead(ranking, results.pairs)
    return " ".join(filter(None, [lead, _describe_seeds(ranking[0]), failures]))


def _describe_seeds(run: Run) -> str:
    mean = run.average("test")
    if mean is None:
        return ""
    bounds = f"{100 * mean.low:.1f} to {percent(mean.high)}"
    return f"Over {len(run.trainings)} seeds it has {percent(mean.value)} on average ({bounds})."


def _describe_lead(ranking: list[Run], pairs: list[Pair]) -> str:
    best = ranking[0].metrics
    level = [run for run in ranking if run.metrics["accuracy"] == best["accuracy"]]
    start = f"On the {best['n']:,} test images"
    figure = f"{percent(best['accuracy'])} ({100 * best['confidence']:g} % interval"
    figure = f"{figure} {interval(best)})"
    if len(ranking) == 1:
        return f"{start}, {ranking[0].label} has an accuracy of {figure}."
    if len(level) > 1:
        return f"{start}, {join(run.label for run in level)} are level, each with {figure}."
    following = ranking[1]
    lead = compare(best["accuracy"], following.metrics["accuracy"])
    return (
        f"{start}, {ranking[0].label} is best with an accuracy of {figure}: {lead} the next, "
        f"{following.label}, with {percent(following.metrics['accuracy'])} "
        f"({interval(following.metrics)}). {_describe_pair(ranking[0], following, pairs)}"
    )


def _describe_pair(best: Run, following: Run, pairs: list[Pair]) -> str:
    """Say whether the lead of one model over another may be an accident of the test images."""
    pair = next(pair for pair in pairs if {pair.better, pair.other} == {best.name, following.name})
    sure = pair.p < 1 - best.metrics["confidence"]
    verdict = "the lead is no accident of these images" if sure else "other images could reverse it"
    return (
        f"{best.label} alone is right on {pair.only_better:,} images, {following.label} alone on "
        f"{pair.only_other:,} (McNemar's test, p {p_value(pair.p)}): {verdict}."
    )


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def describe_calibration(run: Run, results: Results) -> str:
    """Say how far a model's confidence is from its accuracy, and what temperature scaling gives."""
    plain = results.calibrate(run)
    return (
        f"Its mean confidence is {percent(plain.mean_confidence)}, its accuracy "
        f"{percent(run.metrics['accuracy'])}: {_describe_habit(run, plain)}. "
        f"{_describe_error(plain)} {_describe_scaling(run, results)}"
    )


def _describe_habit(run: Run, plain: Calibration) -> str:
    gap = plain.mean_confidence - run.metrics["accuracy"]
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
            f"No temperature was chosen: {found.n_wrong:,} of the {found.n_val:,} validation "
            f"images are wrong, and it takes {FEWEST} wrong and {FEWEST} right ones."
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
    issues = results.label_issues
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
        f"({percent(len(issues) / n)}). {how} It is itself right for {accuracy} of these images, "
        "so many of the labels are right. No label was changed, and none counts less."
    )


def describe_failures(run: Run, classes: Sequence[str]) -> str:
    """Name the weakest classes by F1 and the most frequent error."""
    errors = find_most_confused(run.metrics["confusion"], classes, 2)
    if not errors:
        return f"Of the errors that {run.label} could make there is none."
    weakest, f1 = find_weakest(run, classes)
    noun = f"class of {run.label} is" if len(weakest) == 1 else f"classes of {run.label} are"
    true, predicted, count, rate = errors[0]
    tied = len(errors) > 1 and errors[1][2] == count
    which = "one of the most frequent errors" if tied else "the most frequent error"
    return (
        f"The weakest {noun} {join(weakest)} (F1 {percent(f1)}), and {which} is to take "
        f"{true} for {predicted}: {count:,} of {round(count / rate):,} images ({percent(rate)})."
    )


def find_weakest(run: Run, classes: Sequence[str]) -> tuple[list[str], float]:
    """Return the classes with the lowest F1 of those that the test images show, and that F1."""
    scores = zip(classes, run.metrics["per_class"], strict=True)
    shown = {name: each["f1"] for name, each in scores if each["support"]}
    lowest = min(shown.values())
    return [name for name, f1 in shown.items() if f1 == lowest], lowest


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


def describe_robustness(run: Run) -> str:
    """Say what spoilt images cost a model, and which kind costs most."""
    accuracies, clean = run.robustness["accuracies"], run.robustness["clean"]
    means = {kind: float(np.mean(values)) for kind, values in accuracies.items()}
    worst = min(means, key=lambda kind: means[kind])
    mean = float(np.mean(list(means.values())))
    return (
        f"From {percent(clean)} as they are to {percent(mean)} on average. It bears {worst} worst: "
        f"{percent(means[worst])}, and {percent(accuracies[worst][-1])} at the highest degree."
    )


def describe_duplicates(results: Results) -> str:
    """Say how many test images are in training too, and what the best model is worth without."""
    pairs, n = results.duplicates["pairs"], results.duplicates["n_test"]
    exact = sum(pair["is_exact"] for pair in pairs)
    capped = _describe_cap(results.duplicates.get("capped"))
    if not pairs:
        return f"None of the {n:,} test images has a twin among the training images.{capped}"
    best = results.best
    without = results.judge_without_duplicates(best)
    if without is None:
        return (
            f"All {n:,} test images have a twin among the training images, {exact:,} of them pixel "
            f"for pixel. None is left on which to measure the accuracy of {best.label} without "
            f"twins.{capped}"
        )
    return (
        f"{len(pairs):,} of the {n:,} test images have a twin among the training images, {exact:,} "
        f"of them pixel for pixel. On the others the accuracy of {best.label} is "
        f"{percent(without)}, {compare(without, best.metrics['accuracy'])} that on all.{capped}"
    )


def _describe_cap(capped: dict[str, int] | None) -> str:
    """Say which pairs of images were not compared, if any were left out."""
    if not capped:
        return ""
    return (
        f" {capped['images']:,} test images have a perceptual hash close to that of more than "
        f"{capped['compared']:,} training images; each was compared with the "
        f"{capped['compared']:,} closest and with an exact copy, and {capped['pairs_left_out']:,} "
        "pairs were left out: more twins are possible."
    )


def describe_curves(run: Run) -> str:
    """Say how far training and validation part, and whether the net overfits."""
    history = run.history
    last = history.iloc[-1]
    relation = compare(last.train_accuracy, last.val_accuracy)
    if len(history) == 1:
        return f"After its only epoch, training accuracy is {relation} validation."
    lowest = history.iloc[int(history.val_loss.argmin())]
    return (
        f"At its last epoch ({last.epoch:.0f}), training accuracy is {relation} validation, "
        f"and {_describe_val_loss(lowest, last)}."
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
    """Set the paper's recipe beside the best hand-made network, where the report has both."""
    ours = results.find(RECIPE)
    hand_made = [run for run in results.runs if run.training["family"] == "baselines"]
    if ours is None or not hand_made:
        return None
    best = max(hand_made, key=lambda run: float(run.training["val_accuracy"]))
    relation = compare(ours.metrics["accuracy"], best.metrics["accuracy"])
    return (
        f"The paper puts ResNet18 {points(HAND_MADE_GAIN)} above its hand-made networks, "
        "but sets test beside validation. On the same test images, "
        f"{ours.label} is {relation} {best.label}, the hand-made network that validates best. "
        f"{_describe_convergence(ours, best)} {_describe_cost(ours, best)}"
    ).rstrip()


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
    return f"Its training took {ratio:.1f} times as long on the same hardware."


def escape_markdown(text: str) -> str:
    """Keep text from being read as GitHub-flavoured Markdown, HTML, mathematics or a table."""
    return re.sub(r"([\\`*_\[\]<>|~&#$])", r"\\\1", " ".join(text.split()))
