"""Cases of the fuzz: a seed gives the changes, and running them gives what does not fit."""

import pickle
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fuzz.changes import Kind, choose_kind, go_back
from tests.fuzz.judge import step
from tests.fuzz.world import World, make_world, read_texts
from vision.base.kept import CHECKPOINTS

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "WARM_SETUP": "tests.fuzz.inside"}


@contextmanager
def environment(home: Path) -> Iterator[None]:
    """Let stages be small, and DVC keep what it knows of files where it goes with the fuzz.

    No more variables are touched than these: other threads may be reading the environment.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "site"))
        patch.delenv(CHECKPOINTS, raising=False)
        yield


def make_base(home: Path) -> World:
    """Make the project, run it, and return the world that the cases copy.

    Raises:
        AssertionError: something does not fit already.
    """
    home.mkdir(parents=True)
    world = make_world(home)
    faults = step(world).faults
    assert not faults, faults
    texts = read_texts(world.project)
    world.texts = {name: text for name, text in texts.items() if not name.startswith("pictures/")}
    (home / "world.pickle").write_bytes(pickle.dumps(world))
    return world


def choose_kinds(seed: int, length: int) -> list[Kind]:
    """Return kinds of changes; of two or more one is a way back."""
    rng = random.Random(seed)
    kinds = [choose_kind(rng) for _ in range(length)]
    if len(kinds) > 1:
        kinds[rng.choice(range(1, len(kinds)))] = go_back
    return kinds


def run_case(base: World, home: Path, seed: int, kinds: Sequence[Kind]) -> list[str]:
    """Run a case in a folder of its own, which is removed; return a line for each fault.

    Args:
        kinds: of the changes, one after the other; the seed decides what exactly they change.
    """
    rng, history = random.Random(seed), []
    with open_copy(base, home) as world:
        for number, kind in enumerate(kinds):
            try:
                change = kind(world, rng)
            except IndexError:  # nothing is left to be changed
                continue
            history.append(change.text)
            if faults := step(world, change.refused).faults:
                return [f"{' > '.join(history)}: {fault}" for fault in faults]
            if change.refused and number + 1 < len(kinds):
                history.append(go_back(world, rng).text)
    return []


@contextmanager
def open_copy(base: World, home: Path) -> Iterator[World]:
    """Yield a world of one's own in `home`, which is removed."""
    try:
        yield base.copy(home)
    finally:
        shutil.rmtree(home)
