"""Experiments that differ in the fold alone, `split.fold`: a mean with an interval over folds."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vision.evaluation.intervals import Mean

FOLD = "split.fold"
CONFIDENCE = 0.95  # of the intervals


class Folds(NamedTuple):
    """Experiments that share all but the fold."""

    changes: tuple[str, ...]  # that they share
    n: int
    mean: "Mean"

    def describe(self) -> str:
        mean, shared = self.mean, " with ".join(["", ", ".join(self.changes)])
        ends = f"{mean.low:.4f} to {mean.high:.4f}"
        return (
            f"mean of {self.n} folds{shared if self.changes else ''}: {mean.value:.4f} "
            f"({100 * CONFIDENCE:g} % t-interval {ends})"
        )


def drop_fold(changes: Iterable[str]) -> tuple[str, ...]:
    """Return an experiment's changes but that of the fold."""
    return tuple(each for each in changes if each.lstrip("+").partition("=")[0] != FOLD)


def differ_in_fold_alone(experiments: Sequence[Sequence[str]]) -> bool:
    """Say whether there is nothing to choose: the experiments are one, on several folds."""
    shared = {drop_fold(changes) for changes in experiments}
    return len(shared) == 1 < len(experiments) and len({*map(len, experiments)}) == 1


def average_folds(scores: Iterable[tuple[Sequence[str], float]]) -> list[Folds]:
    """Return a mean for each two experiments or more that differ in the fold alone; best first.

    Args:
        scores: changes and score of each experiment.
    """
    from vision.evaluation.intervals import bound_mean  # loads scipy, for few

    groups: dict[tuple[str, ...], list[float]] = {}
    for changes, score in scores:
        if (shared := drop_fold(changes)) != tuple(changes):
            groups.setdefault(shared, []).append(score)
    found = [
        Folds(shared, len(group), bound_mean(group, None, CONFIDENCE))
        for shared, group in groups.items()
        if len(group) > 1
    ]
    return sorted(found, key=lambda folds: -folds.mean.value)
