"""Changes of every kind rerun what they touch and nothing else, and the plan says so before."""

import pickle
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fuzz.cases import environment, make_base, run_case
from tests.fuzz.changes import (
    KINDS,
    Kind,
    change_code,
    change_meaningless,
    change_models,
    change_param,
    delete_object,
    go_back,
    lose_lines,
    push_and_clone,
    respell_param,
    share_cache,
)
from tests.fuzz.world import World

pytestmark = pytest.mark.slow

SEQUENCES: list[list[Kind]] = [
    [change_models, share_cache],  # what a model left that is no longer listed
    [change_models, go_back],
    [change_code, go_back],
    [change_param, lose_lines, go_back],
    [change_meaningless, push_and_clone, go_back],
    [respell_param, change_param],
    [change_param, delete_object, go_back],
]
CASES: list[list[Kind]] = [[kind] for kind in KINDS] + SEQUENCES
GROUPS = 8


@pytest.fixture(scope="session")
def base(
    warm: None, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> tuple[World, Path]:
    """The small project of the fuzz with every stage run; one of pytest's workers makes it."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "fuzz"
    with FileLock(f"{shared}.lock"), environment(own):
        if not shared.exists():
            make_base(shared)
    return pickle.loads((shared / "world.pickle").read_bytes()), own


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_change_reruns_what_it_touches_and_the_plan_says_so(
    group: int, base: tuple[World, Path]
) -> None:
    world, own = base
    faults = []
    with environment(own):
        for seed in range(group, len(CASES), GROUPS):
            faults += run_case(world, own / f"case-{seed}", seed, CASES[seed])
    assert not faults, "\n".join(faults)
