"""What the fuzz changes: params, code, outs, the cache, dvc.lock, photos, and the clone itself."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from tests.fuzz.stages import read_stages
from tests.fuzz.world import World, run_dvc
from tests.projects import append, commit, run, set_value
from vision.base.params import get_value, read_params

FC, PAPER = "baselines.two-layer-fc", "finetune.paper"
# Values as they are written in params.yaml; `-` takes the key away.
PARAMS = (
    ("seed", "1 0 2 0.0 false 01 4294967295"),
    ("data.image_px", "12 16.0 016"),
    ("data.source", "sources/none.yaml"),
    ("split.val_fraction", "0.2 0.10 1e-1 0.15"),
    ("split.test_fraction", "0.3 0.20 2e-1"),
    ("evaluate.batch_size", "8 256.0 0256"),
    ("evaluate.confidence", "0.9 0.950 9.5e-1"),
    ("robustness.images", "5 6.0 06"),
    ("robustness.batch_size", "4 064 64.0"),
    ("explain.images", "2 1.0 true 01"),
    ("explain.mapped", "20 30 3 4"),
    ("duplicates.deviations", "9 6.0 06 20"),
    ("duplicates.min_correlation", "0.5 0.80 1"),
    ("plot.dpi", "60 50.0 050"),
    ("plot.most_confused", "4 5.0 05 true"),
    (f"{FC}.hidden_units", "9 8.0 08"),
    (f"{FC}.epochs", "2 1.0 true 01"),
    (f"{FC}.batch_size", "32 064 64.0"),
    (f"{FC}.learning_rate", "0.01 4e-3 0.0040"),
    (f"{FC}.momentum", "0.8 0.90"),
    (f"{FC}.nesterov", "false 1 1.0"),
    (f"{FC}.schedule", "cosine constant"),
    (f"{FC}.flip", "false 1"),
    (f"{FC}.weight_decay", "0.0 0 0.01"),
    (f"{FC}.repeats", "0 1 2 0.0"),
    (f"{FC}.test_flip", "true false 0 1"),
    (f"{FC}.test_shift_px", "0 1 2 1.0"),
    (f"{FC}.label_smoothing", "0.1 0.0"),
    (f"{PAPER}.epochs", "2 1.0"),
    (f"{PAPER}.batch_size", "32 064"),
    (f"{PAPER}.learning_rate", "3e-4 1.0e-4 0.0001"),
    (f"{PAPER}.momentum", "0.0 0 false"),
    (f"{PAPER}.repeats", "0 1"),
    (f"{PAPER}.test_flip", "true false"),
    (f"{PAPER}.test_shift_px", "1 0"),
    (f"{PAPER}.crop_padding_px", "1 0"),
    (f"{PAPER}.train_from", "conv1 layer1"),
    (f"{PAPER}.max_pool", "true false 1"),
    (f"{PAPER}.input_px", "null 24"),
)
BOTH = {"both": {"first": "paper", "second": "two-layer-fc"}}  # an average
MODELS = (
    ["two-layer-fc"],
    ["paper"],
    ["two-layer-fc", "paper"],
    ["paper", "two-layer-fc"],
    ["paper", "both", "two-layer-fc"],
)
# Code that says something else; most of it changes the bytes of an out.
EDITS = (
    ("stages/split.py", '"per_class": counts}', '"per_class": counts, "more": 1}'),
    ("stages/download.py", "print(", "print('Note:', "),
    ("stages/find_duplicates.py", '"n_test": len(test),', '"n_test": len(test), "more": 1,'),
    ("stages/explain.py", '"layer": found.name', '"more": 1, "layer": found.name'),
    ("vision/base/files.py", "indent=2", "indent=1"),
    ("vision/data/images.py", "BICUBIC", "BILINEAR"),
    ("vision/evaluation/corruptions.py", "(0.04, 0.06,", "(0.05, 0.06,"),
    ("vision/evaluation/corruptions.py", "VALUES_AT_ONCE = 2**22", "VALUES_AT_ONCE = 2**21"),
    ("vision/evaluation/metrics.py", '"n": len(labels),', '"n": len(labels), "more": 1,'),
    ("vision/models/weights.py", "No pretrained weights:", "No weights:"),
    ("vision/report/figures.py", "by epoch, training and", "by epoch: training and"),
    ("vision/training/optimizers.py", "CYCLE_WARMUP = 0.25", "CYCLE_WARMUP = 0.5"),
)
UNLISTED = (
    ("stages/split.py", "vision.base.hardware"),
    ("stages/plot.py", "vision.models.networks"),
    ("vision/data/splits.py", "vision.base.progress"),
    ("vision/evaluation/duplicates.py", "vision.models.networks"),
    ("vision/models/inference.py", "vision.data.archives"),
    ("vision/evaluation/corruptions.py", "vision.evaluation.metrics"),
)


class Change(NamedTuple):
    text: str  # what was changed
    refused: bool = False  # the stage and the plan have to refuse it


Kind = Callable[[World, random.Random], Change]


def change_param(world: World, rng: random.Random) -> Change:
    key, values = rng.choice([row for row in PARAMS if row[0] != "data.source"])
    value = rng.choice(values.split())
    write_raw(world.project, key, value)
    return Change(f"{key}: {value}")


def respell_param(world: World, rng: random.Random) -> Change:
    """Write a number so that it looks different and DVC holds it equal."""
    key, _ = rng.choice([row for row in PARAMS if row[0] != "data.source"])
    section, _, last = key.rpartition(".")
    params = read_params(world.project / "params.yaml")
    value = (get_value(params, section) if section else params).get(last, 0)
    if isinstance(value, bool):
        text = str(int(value))
    elif isinstance(value, int):
        text = rng.choice([f"{value}.0", f"0{value}"])
    else:
        text = f"{value}0" if isinstance(value, float) and "e" not in str(value) else str(value)
    write_raw(world.project, key, text)
    return Change(f"{key} spelt {text}")


def change_models(world: World, rng: random.Random) -> Change:
    listed = rng.choice(MODELS)
    models = {
        "baselines": [name for name in listed if name == "two-layer-fc"],
        "finetune": [name for name in listed if name == "paper"],
        "averages": BOTH if "both" in listed else {},
        "evaluate": listed,
    }
    set_value(world.project, "models", models)
    return Change(f"models: {listed}")


def change_code(world: World, rng: random.Random) -> Change:
    path, old, new = rng.choice(EDITS)
    text = (world.project / path).read_text()
    assert old in text or new in text, f"{path} no longer has {old!r}"
    (world.project / path).write_text(text.replace(old, new))
    return Change(f"{path}: {old} -> {new}")


def change_meaningless(world: World, rng: random.Random) -> Change:
    """Add a comment, a line, a docstring, or a name that nothing uses to any file of code."""
    path = rng.choice(list_code(world.project))
    kind, text = rng.choice(
        [
            ("a comment", "# new words\n"),
            ("blank lines", "\n\n\n"),
            ("a text alone", '"""New words."""\n'),
            ("an unused name", "UNUSED = 1\n"),
            ("a function", "\n\ndef unused() -> int:\n    return 1\n"),
        ]
    )
    append(world.project / path, text)
    return Change(f"{path}: {kind}")


def import_unlisted(world: World, rng: random.Random) -> Change:
    path, module = rng.choice(UNLISTED)
    text = (world.project / path).read_text()
    (world.project / path).write_text(text.replace("\nfrom ", f"\nimport {module}\nfrom ", 1))
    return Change(f"{path} imports {module}", refused=True)


def delete_out(world: World, rng: random.Random) -> Change:
    stage, out = _choose_out(world, rng)
    path = world.project / out
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Change(f"{out} of {stage} deleted")


def flip_byte(world: World, rng: random.Random) -> Change:
    stage, out = _choose_out(world, rng)
    path = world.project / out
    if path.is_dir():
        path = rng.choice(sorted(file for file in path.rglob("*") if file.is_file()))
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    path.unlink()  # it may be linked
    path.write_bytes(content)
    return Change(f"{path.relative_to(world.project)} of {stage}: byte {place} flipped")


def add_file(world: World, rng: random.Random) -> Change:
    folders = [
        out
        for stage in read_stages(world.project)
        for out in stage.outs
        if (world.project / out).is_dir()
    ]
    out = rng.choice(folders)
    (world.project / out / "more.txt").write_text("more")
    return Change(f"{out}/more.txt added")


def delete_object(world: World, rng: random.Random) -> Change:
    """Take one object of an out of the cache: a file, a folder, or a file in a folder."""
    lock, cache = world.read_lock(), world.cache
    names = {stage.name for stage in read_stages(world.project)}
    outs = [(name, out) for name in sorted(lock.keys() & names) for out in lock[name]["outs"]]
    cached = [pair for pair in outs if _find_object(cache, pair[1]["md5"]).exists()]
    name, out = rng.choice(cached)
    path = _find_object(cache, out["md5"])
    if out["md5"].endswith(".dir") and rng.random() < 0.5:
        rows = yaml.safe_load(path.read_text())
        path = _find_object(cache, rng.choice(rows)["md5"])
    path.unlink(missing_ok=True)
    return Change(f"an object of {out['path']} of {name} taken from the cache")


def lose_lines(world: World, rng: random.Random) -> Change:
    path = world.project / "dvc.lock"
    lock = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    if rng.random() < 0.3:
        path.unlink()
        return Change("dvc.lock deleted")
    name = rng.choice(sorted(lock["stages"]))
    del lock["stages"][name]
    path.write_text(yaml.safe_dump(lock, sort_keys=False))
    return Change(f"{name} taken from dvc.lock")


def share_cache(world: World, rng: random.Random) -> Change:
    """Go on in a fresh clone that has the cache, run cache included."""
    cache = world.cache
    _clone(world)
    assert not run_dvc(world.project, "cache", "dir", "--local", str(cache)).status
    text = "a fresh clone with the same cache"
    if rng.random() < 0.5:
        run_dvc(world.project, "checkout", "--quiet", "--force")
        text += ", checked out"
    return Change(text)


def push_and_clone(world: World, rng: random.Random) -> Change:
    """Go on in a fresh clone that has what dvc.lock names, and no run cache."""
    store = world.home / "store"
    run_dvc(world.project, "remote", "add", "--force", "--local", "--default", "s", str(store))
    done = run_dvc(world.project, "push", "--quiet")
    _clone(world)
    run_dvc(world.project, "remote", "add", "--local", "--default", "s", str(store))
    verb = rng.choice(["pull", "fetch"])
    run_dvc(world.project, verb, "--quiet")
    world.runs.clear()
    return Change(f"a fresh clone, dvc push (status {done.status}) and {verb}")


def change_photos(world: World, rng: random.Random) -> Change:
    """Change a photo, or the folder that they are taken from."""
    photos = sorted((world.project / "pictures").rglob("*.png"))
    photo = rng.choice(photos)
    kind = rng.choice(["drawn anew", "packed anew", "renamed", "added", "deleted", "moved"])
    if kind == "drawn anew":
        pixels = np.full((16, 16, 3), rng.randrange(256), np.uint8)
        Image.fromarray(pixels).save(photo)
    elif kind == "packed anew":
        Image.open(photo).save(photo, compress_level=1)
    elif kind == "renamed":
        photo.rename(photo.with_stem(f"{photo.stem}-new"))
    elif kind == "added":
        shutil.copyfile(photo, photo.with_stem(f"{photo.stem}-copy"))
    elif kind == "moved":
        folder = world.project / "more-photos"
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(world.project / "pictures", folder)
        set_value(world.project, "data.source", "more-photos")
        return Change("photos copied to another folder")
    else:
        photo.unlink()
    return Change(f"{photo.relative_to(world.project)} {kind}")


def go_back(world: World, rng: random.Random) -> Change:
    """Put params and code back as they were first; photos stay as they are."""
    for name, content in world.texts.items():
        if (world.project / name).read_bytes() != content:
            (world.project / name).write_bytes(content)
    return Change("params and code put back")


def do_nothing(world: World, rng: random.Random) -> Change:
    return Change("nothing")


KINDS: dict[Kind, int] = {  # with how often each is chosen
    change_param: 14,
    respell_param: 5,
    change_models: 3,
    change_code: 6,
    change_meaningless: 7,
    import_unlisted: 2,
    delete_out: 4,
    flip_byte: 4,
    add_file: 3,
    delete_object: 4,
    lose_lines: 4,
    share_cache: 3,
    push_and_clone: 3,
    change_photos: 3,
    do_nothing: 1,
}


def choose_kind(rng: random.Random) -> Kind:
    return rng.choices([*KINDS], weights=[*KINDS.values()])[0]


def write_raw(project: Path, key: str, text: str) -> None:
    """Set a key of params.yaml to what is written, such as 064."""
    set_value(project, key, "RAW-VALUE")
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("RAW-VALUE", text))


def list_code(project: Path) -> list[str]:
    """Return the code that any stage declares."""
    deps = {dep for stage in read_stages(project) for dep in stage.deps}
    return sorted(dep for dep in deps if re.search(r"\.(py|html|md)$", dep))


def _choose_out(world: World, rng: random.Random) -> tuple[str, str]:
    outs = [(stage.name, out) for stage in read_stages(world.project) for out in stage.outs]
    return rng.choice([pair for pair in outs if (world.project / pair[1]).exists()])


def _find_object(cache: Path, md5: str) -> Path:
    return cache / "files/md5" / md5[:2] / md5[2:]


def _clone(world: World) -> None:
    """Commit, and go on in a clone."""
    commit(world.project) if _is_changed(world.project) else None
    old, new = world.project, world.home / f"clone-{len([*world.home.glob('clone-*')])}"
    run(world.home, "git", "clone", "--quiet", str(old), str(new))
    for key in ("user.name", "user.email"):
        run(new, "git", "config", key, "test@example.org")
    world.project = new


def _is_changed(project: Path) -> bool:
    return bool(run(project, "git", "status", "--porcelain"))
