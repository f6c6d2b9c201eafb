from typing import Any

import pytest

from flows.engine import environment
from flows.engine.environment import describe_difference, describe_here

HERE = {"torch": "2.14.1", "threads": 2, "device": "2 CPU cores (A)", "kind": "AMX"}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "describe_here", lambda: HERE)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"torch": "2.14.1+cpu"},  # the same version, built otherwise
        {"device": "4 CPU cores (B)"},  # another name of the same kind
    ],
)
def test_what_was_computed_on_the_same_kind_needs_no_word(facts: dict[str, Any]) -> None:
    assert describe_difference(HERE | facts) == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"torch": "2.13.0"}, "torch 2.13.0, 2 threads on 2 CPU cores (A), AMX"),
        ({"threads": 1}, "torch 2.14.1, 1 thread on 2 CPU cores (A), AMX"),
        ({"kind": "AVX2", "device": "B"}, "torch 2.14.1, 2 threads on B, AVX2"),
    ],
)
def test_another_torch_kind_or_number_of_threads_is_said(facts: dict[str, Any], words: str) -> None:
    assert describe_difference(HERE | facts) == (
        f"computed with {words}; here torch 2.14.1, 2 threads on 2 CPU cores (A), AMX"
    )


def test_old_notes_without_a_kind_are_compared_by_the_name() -> None:
    old = {key: value for key, value in HERE.items() if key != "kind"}
    assert describe_difference(old) == ""
    assert "on 2 CPU cores (B); here" in describe_difference(old | {"device": "2 CPU cores (B)"})


def test_this_machine_is_described_as_a_training_would_note_it() -> None:
    """But for the threads, which torch may count otherwise."""
    from vision.base.hardware import describe_hardware

    here, noted = describe_here(), describe_hardware()
    assert here["kind"] == noted["kind"]
    assert str(noted["torch"]).partition("+")[0] == here["torch"]
