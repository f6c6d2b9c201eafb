"""In which order benchmarks.gpu measures, what still fits, and what is done already.

benchmarks/results/NAME/pieces/PIECE.json holds one finished measurement with its conditions.
"""

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_data import RECIPES, VARIANTS, Stock
from benchmarks.gpu_pack import PackError
from benchmarks.gpu_pieces import (
    PLAIN,
    Left,
    OutOfTimeError,
    measure_ceilings,
    profile_recipe,
    time_plain,
    train_recipe,
)
from vision.base.files import read_json, write_json
from vision.base.hardware import describe_hardware
from vision.base.sections import load_seed

# Seconds that must be left for a piece of which none has been measured yet. Guesses: a training
# that turns out longer is ended by its Deadline.
ALLOWANCES = {"ceilings": 10.0, "train": 45.0, "plain": 60.0, "profile": 15.0}
SHOWN = 4  # pieces that are left out first, named at the start
SPARE = 1.1  # of what an earlier piece of the same kind took


@dataclass(frozen=True)
class Budget:
    started: float  # time.monotonic()
    seconds: float

    def spent(self) -> float:
        return time.monotonic() - self.started

    def left(self) -> float:
        return self.seconds - self.spent()


@dataclass(frozen=True)
class Piece:
    name: str
    like: str  # the piece that takes as long: an earlier seed
    allowance: float  # seconds, where that one has not been measured
    measure: Callable[[Left], Any]


def list_pieces(stock: Stock, n_seeds: int) -> list[Piece]:
    """Return all measurements, the most important first: where time is short, the last go first."""
    first = load_seed()
    pieces = [Piece("ceilings", "ceilings", ALLOWANCES["ceilings"], lambda _: measure_ceilings())]
    pieces += [_train(recipe, first, first, stock) for recipe in RECIPES]
    pieces += [_time_plain(recipe, stock) for recipe in PLAIN]
    pieces += [_train(name, first, first, stock) for name in stock.recipes if name in VARIANTS]
    pieces += [_profile(recipe, stock) for recipe in stock.recipes]
    later = range(first + 1, first + n_seeds)
    return pieces + [_train(recipe, seed, first, stock) for seed in later for recipe in RECIPES]


def _train(recipe: str, seed: int, first: int, stock: Stock) -> Piece:
    measure = partial(train_recipe, recipe, seed, stock)
    return Piece(f"{recipe}-seed-{seed}", f"{recipe}-seed-{first}", ALLOWANCES["train"], measure)


def _time_plain(recipe: str, stock: Stock) -> Piece:
    name = f"plain-{recipe}"
    return Piece(name, name, ALLOWANCES["plain"], lambda _: time_plain(recipe, stock))


def _profile(recipe: str, stock: Stock) -> Piece:
    name = f"profile-{recipe}"
    return Piece(name, name, ALLOWANCES["profile"], lambda _: profile_recipe(recipe, stock))


def describe_conditions(stock: Stock) -> dict[str, Any]:
    """Return what all pieces of one table have in common."""
    recipes = {name: params.model_dump(mode="json") for name, params in stock.recipes.items()}
    python = sys.version.split()[0]
    counts = {"train": len(stock.train), "val": len(stock.val), "test": len(stock.test)}
    facts = {"recipes": recipes, "python": python, "tiny": stock.is_tiny, "counts": counts}
    return describe_hardware() | stock.facts | facts


def run_pieces(
    pieces: list[Piece], folder: Path, conditions: dict[str, Any], budget: Budget
) -> Iterator[list[str]]:
    """Measure what is not there yet, as far as the budget goes.

    Yields:
        A line on each piece that is not there, before the first and after each.

    Raises:
        PackError: the folder has pieces that were measured under other conditions.
    """
    check_conditions(folder, conditions)
    paths = {piece: locate(folder, piece.name) for piece in pieces}
    wanted = [piece for piece in pieces if not paths[piece].exists()]
    print(f"{len(pieces) - len(wanted)} of {len(pieces)} pieces were measured before", flush=True)
    if wanted:
        last = ", ".join(piece.name for piece in wanted[: -1 - SHOWN : -1])
        print(f"where {budget.left():.0f} s are too few, these are left out first: {last}")
    lines: dict[Piece, str | None] = {piece: f"{piece.name}: not begun" for piece in wanted}
    yield list(filter(None, lines.values()))
    for piece in wanted:
        lines[piece] = line = _run_piece(piece, paths[piece], conditions, budget)
        if line:
            print(line, flush=True)
        yield list(filter(None, lines.values()))


def _run_piece(piece: Piece, path: Path, conditions: dict[str, Any], budget: Budget) -> str | None:
    """Measure and write; return what went wrong, if anything, in one line."""
    expected, left = expect(piece, path.parent), budget.left()
    if left <= 0:
        return f"{piece.name}: no time was left"
    if expected > left:
        return f"{piece.name}: wants {expected:.0f} s, {left:.0f} s were left"
    print(f"{piece.name}: {left:.0f} s left", flush=True)
    started = time.monotonic()
    try:
        figures = piece.measure(budget.left)
    except OutOfTimeError as error:
        return f"{piece.name}: {error}"
    except Exception as error:  # the time on the GPU is short: what else can be measured, is
        traceback.print_exc()
        return f"{piece.name}: failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    seconds = time.monotonic() - started
    write_json(path, {"conditions": conditions, "figures": figures, "seconds": seconds})
    return None


def expect(piece: Piece, folder: Path) -> float:
    """Return the seconds that a piece is expected to take."""
    earlier = folder / f"{piece.like}.json"
    return SPARE * float(read_json(earlier)["seconds"]) if earlier.exists() else piece.allowance


def locate(folder: Path, name: str) -> Path:
    return folder / f"pieces/{name}.json"


def check_conditions(folder: Path, conditions: dict[str, Any]) -> None:
    for path in sorted((folder / "pieces").glob("*.json")):
        found = read_json(path)["conditions"]
        for key in sorted({*found, *conditions}):
            if found.get(key) != conditions.get(key):
                was, now = (str(each.get(key))[:80] for each in (found, conditions))
                raise PackError(
                    f"{path} was measured with {key} {was}, not {now}: give another --name, or "
                    f"remove {path.parent}"
                )
