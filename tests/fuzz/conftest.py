import pickle
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fuzz.cases import environment, make_base
from tests.fuzz.world import World


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
