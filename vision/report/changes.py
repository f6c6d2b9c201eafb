"""Which models two runs of the pipeline have in common, and what changed between the two."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vision.base.errors import DataError
from vision.evaluation.intervals import bound_difference
from vision.evaluation.significance import SIGNIFICANT, compare_pairs, correct
from vision.report.runs import Results, Run


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
    now_right: list[int]  # positions of the images that it got wrong before
    now_wrong: list[int]
    p: float | None  # None where the test images are not the same

    @property
    def is_significant(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANT

    @property
    def is_worse(self) -> bool:
        """Whether it is right for fewer images than before, and that is hardly chance."""
        return self.is_significant and len(self.now_wrong) > len(self.now_right)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the accuracy after less that before; None as with p."""
        if self.p is None:
            return None
        n, level = len(self.after.test_logits), self.after.metrics["confidence"]
        low, high = bound_difference(len(self.now_right), len(self.now_wrong), n, level)
        return float(low), float(high)


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


def find_worse(before: Version, after: Version) -> list[str]:
    """Return the models that are significantly worse after than before.

    Raises:
        DataError: the test images differ, or no model is in both, so that nothing can be said.
    """
    changes = compare(before, after)
    if not changes:
        raise DataError(f"no model is in both {before.name} and {after.name}: none can be worse")
    if not has_same_tests(before, after):
        raise DataError(
            f"{before.name} and {after.name} were evaluated on different test images: "
            "whether a model is worse cannot be said; leave out --fail-if-worse, or run both on "
            "the same data and split"
        )
    return [change.after.name for change in changes if change.is_worse]


def has_same_tests(before: Version, after: Version) -> bool:
    """Say whether both were evaluated on the same test images in the same order."""
    first, second = before.results.images, after.results.images
    return (
        first.manifest["sha256"] == second.manifest["sha256"]
        and first.classes == second.classes
        and np.array_equal(first.test_rows, second.test_rows)
        and np.array_equal(first.test_labels, second.test_labels)
    )


def _list(chosen: np.ndarray) -> list[int]:
    return [int(i) for i in np.flatnonzero(chosen)]
