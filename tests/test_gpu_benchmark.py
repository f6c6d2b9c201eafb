"""The benchmark of a GPU packs, runs on a bare machine, goes on, and says what it left out."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import benchmarks.gpu as gpu
import benchmarks.gpu_pack as gpu_pack
from benchmarks.gpu_data import CHANGES, RECIPES, TINY_IMAGES, make_tiny, read_recipes
from benchmarks.gpu_page import bound, render, summarise
from benchmarks.gpu_pieces import (
    PLAIN,
    Deadline,
    OutOfTimeError,
    count_epoch_flops,
    list_kernels,
    prepare,
)
from benchmarks.gpu_plan import Budget, Piece, list_pieces, run_pieces
from tests.projects import ROOT, run
from vision.base.errors import TrainingError

# What torch and torchvision require, or try to import and do without.
BROUGHT = ["torch", "torchvision", "torchgen", "functorch", "numpy", "PIL", "filelock", "sympy"]
BROUGHT += [
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "fsspec",
    "setuptools",
    "triton",
    "nvidia",
]
BROUGHT += ["cuda"]
BARE = f"""
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

ALLOWED = {{*sys.stdlib_module_names, "vision", "benchmarks", *{BROUGHT}}}
ALLOWED |= {{name.partition(".")[0] for name in sys.argv.pop(1).split(",")}}

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        is_there = top in ALLOWED or top.startswith("_")
        return super().find_spec(name, path, target) if is_there else None

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Bare]
from benchmarks.gpu import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a tiny run with one seed and no packages but torch's and those of a pack."""
    folder = tmp_path_factory.mktemp("results")
    packed = ",".join(gpu_pack.WHEELS.values())
    options = ["run", "--tiny", "--name", "tiny", "--seeds", "1", "--results", str(folder)]
    run(ROOT, sys.executable, "-c", BARE, packed, *options)
    return folder


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
def test_a_bare_machine_measures_every_piece(measured: Path) -> None:
    names = {path.stem for path in (measured / "tiny/pieces").iterdir()}
    trained = [*RECIPES, "whitened-cnn-free"]
    recipes = {f"{name}-seed-0" for name in trained} | {f"profile-{name}" for name in trained}
    assert names == {"ceilings", *[f"plain-{name}" for name in PLAIN], *recipes}
    results = json.loads((measured / "tiny/gpu.json").read_text())
    assert results["missing"] == []
    for recipe in trained:
        found = results["recipes"][recipe]
        assert (found["n"], found["seeds"], found["accuracy"]["test"]["interval"]) == (1, [0], None)
        assert 0 < found["train_seconds"] <= found["fit_seconds"] <= found["whole_seconds"]
        assert len(results["profiles"][recipe]["kernels"]) == 10
    for recipe in PLAIN:
        assert [row["workers"] for row in results["plain"][recipe]["programs"]] == [0]


@pytest.mark.slow
def test_the_page_states_its_conditions(measured: Path) -> None:
    page = (measured / "tiny/README.md").read_text()
    assert "A try-out on random images" in page
    assert "16 train, 10 val, 10 test images" in page
    assert "| whitened-cnn | 1 | 0 |" in page
    assert "## paper beside a plain PyTorch program" in page
    assert "SGD in the place of Muon" in page
    assert "Not measured" not in page


@pytest.mark.slow
def test_a_second_run_measures_only_what_is_missing(
    measured: Path, project: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("measured again")

    for name in ("train_recipe", "time_plain", "profile_recipe"):
        monkeypatch.setattr(f"benchmarks.gpu_plan.{name}", refuse)
    monkeypatch.setattr("benchmarks.gpu_plan.measure_ceilings", lambda: {"bf16": 1e9})
    pieces = measured / "tiny/pieces"
    threads = json.loads((pieces / "plain-paper.json").read_text())["conditions"]["threads"]
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    (pieces / "ceilings.json").unlink()
    options = ["--tiny", "--name", "tiny", "--seeds", "1", "--results", str(measured)]
    assert gpu.main(["run", *options]) == 0
    assert json.loads((measured / "tiny/gpu.json").read_text())["ceilings"] == {"bf16": 1e9}


def test_the_most_important_pieces_come_first(project: None) -> None:
    assert [piece.name for piece in list_pieces(make_tiny(), 3)] == [
        "ceilings",
        *[f"{name}-seed-0" for name in RECIPES],
        "plain-whitened-cnn",
        "plain-paper",
        "whitened-cnn-free-seed-0",
        *[f"profile-{name}" for name in (*RECIPES, "whitened-cnn-free")],
        *[f"{name}-seed-1" for name in RECIPES],
        *[f"{name}-seed-2" for name in RECIPES],
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test moves."""
    now = [0.0]
    monkeypatch.setattr("benchmarks.gpu_plan.time.monotonic", lambda: now[0])
    return now


def make_piece(clock: list[float], name: str, like: str, seconds: float) -> Piece:
    def measure(_: object) -> str:
        clock[0] += seconds
        return name

    return Piece(name, like, 10, measure)


def test_a_piece_is_left_out_where_one_like_it_took_longer_than_is_left(
    clock: list[float], tmp_path: Path
) -> None:
    sizes = {"a0": ("a0", 60), "a1": ("a0", 60), "b": ("b", 5)}
    pieces = [make_piece(clock, name, *size) for name, size in sizes.items()]
    *_, missing = run_pieces(pieces, tmp_path, {}, Budget(0, 100))
    assert missing == ["a1: wants 66 s, 40 s were left"]
    assert {path.stem for path in (tmp_path / "pieces").iterdir()} == {"a0", "b"}
    *_, missing = run_pieces(pieces, tmp_path, {}, Budget(clock[0], 100))
    assert missing == []


def test_what_is_left_out_first_is_said_first(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [make_piece(clock, f"p{k}", f"p{k}", 1) for k in range(6)]
    list(run_pieces(pieces, tmp_path, {}, Budget(0, 100)))
    line = capsys.readouterr().out.splitlines()[1]
    assert line == "where 100 s are too few, these are left out first: p5, p4, p3, p2"


def test_a_piece_that_fails_leaves_a_line_and_the_others(
    clock: list[float], tmp_path: Path
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("CUDA out of memory\nmore of it")

    pieces = [Piece("a", "a", 1, fail), make_piece(clock, "b", "b", 1)]
    *_, missing = run_pieces(pieces, tmp_path, {}, Budget(0, 100))
    assert missing == ["a: failed: RuntimeError: CUDA out of memory"]
    assert (tmp_path / "pieces/b.json").exists()


def test_pieces_of_another_card_are_not_mixed(clock: list[float], tmp_path: Path) -> None:
    piece = make_piece(clock, "a", "a", 1)
    list(run_pieces([piece], tmp_path, {"device": "H100"}, Budget(0, 100)))
    with pytest.raises(gpu_pack.PackError, match="measured with device H100, not H200"):
        list(run_pieces([piece], tmp_path, {"device": "H200"}, Budget(0, 100)))


def test_a_training_ends_once_it_cannot_end_in_time() -> None:
    """A quarter took 10 s: the rest takes 30."""
    state = {"history": [None], "seconds": 10.0}
    Deadline(None, lambda: 31.0, (0.25, 1.0)).save(state)
    with pytest.raises(OutOfTimeError, match="would take 30 s more, 29 s were left"):
        Deadline(None, lambda: 29.0, (0.25, 1.0)).save(state)
    assert issubclass(OutOfTimeError, TrainingError)


def test_an_epoch_costs_what_its_size_costs(project: None) -> None:
    """0.217 GFLOP an image at 32 px, without the gradient of the first layer's input."""
    stock = make_tiny()
    n = TINY_IMAGES["train"]
    flops = {}
    for name, params in stock.recipes.items():
        flops[name] = count_epoch_flops(prepare(params, stock).spec, params, n)
    assert flops["paper"] == pytest.approx([n * 0.217e9] * 2, rel=0.01)
    small, large = flops["large"]
    assert small == flops["paper"][0] < large


@pytest.mark.parametrize(
    ("name", "epochs", "published"), [("whitened-cnn", 8, 0.29e15), ("whitened-wide", 37, 4.9e15)]
)
def test_the_published_recipes_take_the_published_arithmetic(
    project: None, name: str, epochs: int, published: float
) -> None:
    """Of 50,000 images an epoch, by airbench94 with Muon and by airbench96."""
    recipe = read_recipes(CHANGES)[name]
    assert (recipe.batch_size, recipe.epochs) == (2000, epochs)
    spec = prepare(recipe, make_tiny()).spec
    assert sum(count_epoch_flops(spec, recipe, 50_000)) == pytest.approx(published, rel=0.03)


def test_three_seeds_have_a_t_interval_and_fewer_have_none() -> None:
    """Standard deviation 0.1: 4.303 * 0.1 / sqrt(3) = 0.2484."""
    found = bound([0.7, 0.8, 0.9])
    assert found["mean"] == pytest.approx(0.8)
    assert found["interval"] == pytest.approx([0.5516, 1.0484], abs=1e-4)
    assert bound([0.7, 0.8])["interval"] is None


def test_the_share_of_the_ceiling_is_arithmetic_by_second_over_a_product() -> None:
    """Two trainings of 200 FLOP in 2 and in 4 s reach 100 and 50 FLOP/s, of 150."""
    seconds = {"images_per_second": 1.0, "fit_seconds": 5.0, "whole_seconds": 6.0}
    accuracy, memory = {"val": 0.5, "test": 0.25}, {"allocated": 1, "reserved": 2 * 10**9}
    run_ = seconds | {"flops": 200, "accuracy": accuracy, "memory": memory}
    runs = {
        f"paper-seed-{seed}": run_ | {"seed": seed, "train_seconds": train_seconds}
        for seed, train_seconds in enumerate([2.0, 4.0])
    }
    paper = summarise(runs | {"ceilings": {"bf16": 150.0}})["recipes"]["paper"]
    assert paper["share_of_bf16_ceiling"] == pytest.approx(0.5)
    assert (paper["n"], paper["peak_memory_bytes"]) == (2, 2 * 10**9)


def test_a_page_with_nothing_measured_says_so() -> None:
    notes = {"note": "", "official": False}
    facts = {"device": "GPU", "torch": "2.11", "python": "3.12", "commit": "abc", "tiny": False}
    facts |= {"counts": {"train": 1, "val": 2, "test": 3}, "images": notes, "weights": notes}
    page = render(summarise({}) | {"conditions": facts, "missing": ["ceilings: not begun"]})
    assert "**Stand-in data: not the official files.**" in page
    assert "No recipe has been trained here." in page
    assert page[-1] == "- ceilings: not begun"


class Event:
    """Like a row of torch.profiler's key_averages()."""

    def __init__(self, key: str, device: str, us: float, is_user_annotation: bool = False) -> None:
        self.key, self.count, self.is_user_annotation = key, 3, is_user_annotation
        self.self_device_time_total = self.self_cpu_time_total = us
        self.device_type = type("DeviceType", (), {"name": device})


def test_kernels_are_what_ran_on_the_device_the_longest_first() -> None:
    events = [
        Event("aten::conv", "CPU", 9000),
        Event("relu", "CUDA", 500),
        Event("gemm", "CUDA", 2000),
        Event("Optimizer.step#SGD.step", "CUDA", 7000, is_user_annotation=True),
    ]
    kernels = list_kernels(events, has_gpu=True)
    assert [(kernel["name"], kernel["ms"]) for kernel in kernels] == [("gemm", 2), ("relu", 0.5)]


def test_a_pack_over_the_limit_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(folder: Path, with_files: bool) -> None:
        (folder / "images.tar.gz").write_bytes(bytes(3 * 2**19))

    monkeypatch.setattr(gpu, "download_wheels", lambda folder, python: folder.mkdir())
    monkeypatch.setattr("benchmarks.gpu_data.prepare", prepare)
    assert gpu.main(["pack", "pack", "--limit", "1"]) == 1
    message = capsys.readouterr().err
    assert "1.5 MiB, over the limit of 1; the largest file is images.tar.gz with 1.5" in message
    assert gpu.main(["pack", "pack2", "--limit", "2"]) == 0
    assert "benchmarks.gpu run --pack pack2" in capsys.readouterr().out


def test_wheels_are_pinned_as_the_lock_has_them() -> None:
    pins = gpu_pack.read_pins((ROOT / "requirements.lock").read_text())
    assert len(pins) == len(gpu_pack.WHEELS)
    assert all("==" in pin and "--hash=sha256:" in pin and "# via" not in pin for pin in pins)
    with pytest.raises(gpu_pack.PackError, match="0 pins of annotated-types"):
        gpu_pack.read_pins("")


def test_wheels_are_used_without_installing_them(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "wheels").mkdir()
    with zipfile.ZipFile(workspace / "wheels/brought-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("brought_in_a_wheel.py", "VALUE = 1")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (workspace / "pack.json").write_text(json.dumps({"python": python, "commit": "abc"}))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    gpu_pack.use_wheels(workspace)
    module = __import__("brought_in_a_wheel")
    assert (module.VALUE, Path(sys.path[0]).parent != workspace) == (1, True)


def test_wheels_for_another_python_are_named_where_a_package_is_missing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "pack.json").write_text(json.dumps({"python": "2.7", "commit": "abc"}))
    monkeypatch.setitem(gpu_pack.WHEELS, "pydantic", "no_such_module")
    with pytest.raises(gpu_pack.PackError, match=r"wheels for Python 2\.7, this is .* pydantic"):
        gpu_pack.use_wheels(workspace)


def test_a_folder_that_was_not_packed_is_refused(workspace: Path) -> None:
    with pytest.raises(gpu_pack.PackError, match="was not packed"):
        gpu_pack.use_wheels(workspace)


def test_a_run_wants_a_pack_or_tiny_images(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["run", "--name", "h100"])
    assert "run needs --pack FOLDER, or --tiny" in capsys.readouterr().err
