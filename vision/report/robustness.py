"""What corrupted images cost: sentences and tables, each share with its interval."""

import numpy as np

from vision.evaluation.intervals import bound_share
from vision.report.blocks import Table
from vision.report.runs import Results, Run
from vision.report.words import join, percent

MOST_NAMED = 5  # corruptions under which another model overtakes


def describe_robustness(run: Run) -> str:
    """Say what corrupted images cost a model, and which kind costs most."""
    accuracies, n = run.robustness["accuracies"], run.robustness["n"]
    means = measure_robustness(run)
    mean = float(np.mean(list(means.values())))
    worst = min(means, key=lambda kind: means[kind])
    highest = {kind: values[-1] for kind, values in accuracies.items()}
    lowest = min(highest, key=lambda kind: highest[kind])
    return (
        f"On {n:,} test images: {percent(run.robustness['clean'])} on the originals, "
        f"{percent(mean)} on corrupted ones on average. It is most sensitive to {worst}: "
        f"{percent(means[worst])} on average, {_bound(run, highest[worst])} at the highest "
        f"severity{_describe_lowest(run, worst, lowest)}."
    )


def _describe_lowest(run: Run, worst: str, lowest: str) -> str:
    """Say that another kind than the worst on average is worst at the highest severity."""
    accuracies = run.robustness["accuracies"]
    if accuracies[lowest][-1] == accuracies[worst][-1]:
        return ", the lowest of all kinds"
    return f", where {lowest} is lower still: {_bound(run, accuracies[lowest][-1])}"


def _bound(run: Run, accuracy: float) -> str:
    low, high = _find_bounds(run, accuracy)
    return f"{percent(accuracy)} ({100 * low:.1f} to {percent(high)})"


def _find_bounds(run: Run, accuracy: float) -> tuple[float, float]:
    n = run.robustness["n"]
    return bound_share(round(n * accuracy), n, run.metrics["confidence"])


def measure_robustness(run: Run) -> dict[str, float]:
    """Return the accuracy on images corrupted in each way, the mean over the severities."""
    accuracies = run.robustness["accuracies"]
    return {kind: sum(values) / len(values) for kind, values in accuracies.items()}


def describe_overtaking(results: Results) -> str:
    """Say where another model than the best on the original images is right more often."""
    if len(results.runs) < 2:
        return ""
    first = max(results.runs, key=lambda run: float(run.robustness["clean"]))
    n_cases = sum(map(len, first.robustness["accuracies"].values()))
    found = find_overtaking(results, first)
    if not found:
        return (
            f"{first.label} is right most often on these originals, and no other model is right "
            f"more often under any of the {n_cases} corruptions."
        )
    clear = [words for words, is_clear in found if is_clear]
    shown = [words for words, is_clear in sorted(found, key=lambda pair: not pair[1])]
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return (
        f"{first.label} is right most often on these originals, but another model overtakes it "
        f"under {len(found)} of the {n_cases} corruptions, under {len(clear) or 'none'} of them "
        f"with intervals that lie apart: {'; '.join(shown[:MOST_NAMED])}{more}."
    )


def find_overtaking(results: Results, first: Run) -> list[tuple[str, bool]]:
    """Return the corruptions under which another model is best, and whether intervals lie apart."""
    found = []
    for kind, values in first.robustness["accuracies"].items():
        for place, own in enumerate(values):
            other = max(results.runs, key=lambda run: run.robustness["accuracies"][kind][place])
            theirs = other.robustness["accuracies"][kind][place]
            if theirs > own:
                is_clear = _find_bounds(other, theirs)[0] > _find_bounds(first, own)[1]
                words = f"{other.label} under {kind} {place + 1}, {percent(theirs)}"
                found.append((f"{words} against {percent(own)}", is_clear))
    return found


def list_robustness(results: Results) -> Table:
    kinds = list(results.runs[0].robustness["accuracies"])
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        means = measure_robustness(run)
        figures = [run.robustness["clean"], sum(means.values()) / len(means), *means.values()]
        rows.append((run.label, *(f"{100 * value:.1f}" for value in figures)))
    header = ("Model", "Originals", "All kinds", *kinds)
    n = results.runs[0].robustness["n"]
    caption = (
        f"Accuracy in percent on {n:,} test images: the originals, and corrupted, the mean of five "
        "severities"
    )
    return Table(caption, header, rows, results.mark())


def list_highest(results: Results) -> Table:
    """List the accuracies at the highest severity, with their intervals."""
    kinds = list(results.runs[0].robustness["accuracies"])
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        accuracies = run.robustness["accuracies"]
        figures = [run.robustness["clean"], *(accuracies[kind][-1] for kind in kinds)]
        rows.append((run.label, *(_bracket(run, value) for value in figures)))
    level = results.runs[0].metrics["confidence"]
    caption = f"Accuracy in percent at the highest severity, with {100 * level:g} % intervals"
    return Table(caption, ("Model", "Originals", *kinds), rows, results.mark())


def _bracket(run: Run, accuracy: float) -> str:
    low, high = _find_bounds(run, accuracy)
    return f"{100 * accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def list_degrees(results: Results) -> str:
    """Say what the severities mean, in the units of each kind."""
    degrees = results.runs[0].robustness.get("degrees")
    if not degrees:  # not in results of before
        return ""
    units = {
        "noise": "standard deviation, of values in 0 to 1",
        "blur": "standard deviation in pixels",
        "brightness": "added to values in 0 to 1",
        "contrast": "of the distance from the mean",
        "JPEG": "quality",
        "pixelation": "of the side",
    }
    parts = [
        f"{kind} {', '.join(f'{round(value, 2):g}' for value in values)} ({units[kind]})"
        for kind, values in degrees.items()
    ]
    return f"Severities 1 to 5: {join(parts)}."
