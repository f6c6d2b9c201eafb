"""The table of docs/reruns.md, made true: each change reruns what it names and nothing else."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.fuzz.cases import environment, open_copy
from tests.fuzz.changes import BOTH
from tests.fuzz.judge import step
from tests.fuzz.world import World
from tests.projects import ROOT, append, set_value
from tests.vision.data.pictures import paint
from vision.base.params import read_params

pytestmark = pytest.mark.slow


def read_table() -> list[tuple[str, str]]:
    text = (ROOT / "docs/reruns.md").read_text()
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:3])
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [(row[0], row[1]) for row in rows[1:]]


def take_other_photos(world: World) -> None:
    shutil.copytree(world.project / "pictures", world.project / "more-photos")
    paint("red", (20, 30)).save(world.project / "more-photos/red/new.png")
    set_value(world.project, "data.source", "more-photos")


def change_photos(world: World) -> None:
    """Change photos in all ways at once; the random changes do so one by one."""
    photos = world.project / "pictures"
    paint("red", (20, 30)).save(photos / "red/new.png")
    paint("red", (20, 30)).save(photos / "red/1.png")
    (photos / "blue/2.png").unlink()
    (photos / "green/4.png").rename(photos / "blue/green-4.png")


def rename_photo(world: World) -> None:
    photo = world.project / "pictures/red/1.png"
    photo.rename(photo.with_name("1-new.png"))


def change_own_weights(world: World) -> None:
    """Let a recipe start from a file of one's own, and change the file."""
    mine = world.project / "sources/weights/mine.safetensors"
    shutil.copyfile(world.project / "data/models/paper/best.safetensors", mine)
    set_value(world.project, "finetune.paper.weights", mine.name)
    assert not step(world).faults
    weights = load_file(mine)
    weights["conv1.weight"] += 1
    save_file(weights, mine)


def change_share(world: World) -> None:
    """Let two models decide together, and change their shares."""
    models = read_params(world.project / "params.yaml")["models"]
    set_value(
        world.project,
        "models",
        models | {"averages": BOTH, "evaluate": [*models["evaluate"], *BOTH]},
    )
    assert not step(world).faults
    set_value(world.project, "models.averages.both.share", 0.75)


def set_to(key: str, value: Any) -> Callable[[World], None]:
    return lambda world: set_value(world.project, key, value)


def add_to(path: str, text: str) -> Callable[[World], None]:
    return lambda world: append(world.project / path, text)


CHANGES: dict[str, Callable[[World], None]] = {
    "nothing": lambda world: None,
    "a comment in params.yaml": add_to("params.yaml", "# new words\n"),
    "`epochs: 1.0` where it was 1": set_to("finetune.paper.epochs", 1.0),
    "`baselines.two-layer-fc.learning_rate`": set_to("baselines.two-layer-fc.learning_rate", 0.03),
    "`finetune.paper.learning_rate`": set_to("finetune.paper.learning_rate", 3e-4),
    "a further seed, `finetune.paper.repeats`": set_to("finetune.paper.repeats", 1),
    "`finetune.paper.test_flip`": set_to("finetune.paper.test_flip", True),
    "a default that is written out, `finetune.paper.momentum: 0.0`": set_to(
        "finetune.paper.momentum", 0.0
    ),
    "`seed`": set_to("seed", 1),
    "`split.val_fraction`": set_to("split.val_fraction", 0.2),
    "`data.source`": take_other_photos,
    "a photo added, replaced, deleted, or moved to another class": change_photos,
    "a photo renamed, its place in the order kept": rename_photo,
    "a file of your own in sources/weights, from which `paper` starts": change_own_weights,
    "`models.averages.both.share`": change_share,
    "`evaluate.confidence`": set_to("evaluate.confidence", 0.9),
    "`robustness.images`": set_to("robustness.images", 3),
    "`explain.images`": set_to("explain.images", 2),
    "`duplicates.min_correlation`": set_to("duplicates.min_correlation", 0.9),
    "`plot.dpi`": set_to("plot.dpi", 60),
    "the code of a figure, vision/report/figures.py": add_to(
        "vision/report/figures.py", "# new words\n"
    ),
    "the code of the training loop, vision/training/loop.py": add_to(
        "vision/training/loop.py", "UNUSED = 1\n"
    ),
    "a comment in the training loop": add_to("vision/training/loop.py", "# new words\n"),
    "a comment in vision/evaluation/corruptions.py": add_to(
        "vision/evaluation/corruptions.py", "# new words\n"
    ),
}


def test_every_change_is_in_the_table() -> None:
    assert [change for change, _ in read_table()] == list(CHANGES)


@pytest.mark.parametrize(("change", "stages"), read_table(), ids=lambda text: text[:40])
def test_a_change_runs_the_stages_of_the_table_and_no_others(
    change: str, stages: str, base: tuple[World, Path]
) -> None:
    world, own = base
    with environment(own), open_copy(world, own / "row") as copy:
        CHANGES[change](copy)
        done = step(copy)
    assert not done.faults
    names = re.sub(r" \([^)]*\)", "", stages)
    known = ", ".join(re.findall(r"(\S+) \(in seconds\)", stages))
    assert done.ran == find_members(names, done.seen)
    assert done.known == find_members(known, done.seen)


def find_members(names: str, stages: Any) -> set[str]:
    """Return the stages that a row names; a name without `@` stands for all its members."""
    listed = [name for name in names.split(", ") if name not in ("", "none")]
    known = {
        name: {stage for stage in stages if name in (stage, drop_member(stage))} for name in listed
    }
    assert all(known.values()), "a row names a stage that there is not"
    return set().union(*known.values())


def drop_member(stage: str) -> str:
    return stage.partition("@")[0]
