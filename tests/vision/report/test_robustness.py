from typing import Any

import numpy as np
import pandas as pd

from vision.report.robustness import describe_overtaking, describe_robustness, list_highest
from vision.report.runs import Images, Results, Run


def make_run(name: str, clean: float, n: int = 100, **accuracies: list[float]) -> Run:
    corrupted = {"n": n, "clean": clean, "accuracies": accuracies}
    metrics = {"confidence": 0.95}
    none = np.zeros((0, 2), np.float32)
    training: dict[str, Any] = {"pretrained": None}
    return Run(
        name, pd.DataFrame(), training, {}, metrics, none, none, {}, corrupted, {}, none, none
    )


def put_together(*runs: Run) -> Results:
    class NoImages(Images):
        is_stand_in = False

        def __init__(self) -> None:
            pass

    return Results(NoImages(), list(runs), {})


def test_the_worst_kind_is_named_with_its_interval_at_the_highest_severity() -> None:
    run = make_run("a", 0.9, noise=[0.8, 0.2], blur=[0.7, 0.5])
    assert describe_robustness(run) == (
        "On 100 test images: 90.0 % on the originals, 55.0 % on corrupted ones on average. It is "
        "most sensitive to noise: 50.0 % on average, 20.0 % (13.3 to 28.9 %) at the highest "
        "severity, the lowest of all kinds."
    )


def test_a_kind_that_is_worse_at_the_highest_severity_alone_is_named_too() -> None:
    words = describe_robustness(make_run("a", 0.9, noise=[0.1, 0.3], blur=[0.8, 0.2]))
    assert "most sensitive to noise: 20.0 % on average, 30.0 %" in words
    assert words.endswith("severity, where blur is lower still: 20.0 % (13.3 to 28.9 %).")


def test_models_that_overtake_are_named_the_clear_ones_first() -> None:
    first = make_run("a", 0.9, noise=[0.8, 0.2], blur=[0.7, 0.5])
    other = make_run("b", 0.8, noise=[0.7, 0.6], blur=[0.72, 0.5])
    assert describe_overtaking(put_together(other, first)) == (
        "a is right most often on these originals, but another model overtakes it under 2 of the 4 "
        "corruptions, under 1 of them with intervals that lie apart: b under noise 2, 60.0 % "
        "against 20.0 %; b under blur 1, 72.0 % against 70.0 %."
    )


def test_where_none_overtakes_that_is_said() -> None:
    first = make_run("a", 0.9, noise=[0.8, 0.2])
    other = make_run("b", 0.8, noise=[0.7, 0.2])
    assert describe_overtaking(put_together(other, first)).endswith(
        "no other model is right more often under any of the 2 corruptions."
    )
    assert describe_overtaking(put_together(first)) == ""


def test_the_highest_severity_has_intervals() -> None:
    (row,) = list_highest(put_together(make_run("a", 0.9, noise=[0.8, 0.2]))).rows
    assert row == ("a", "90.0 [82.6, 94.5]", "20.0 [13.3, 28.9]")
