"""gpu.json and README.md of one folder of results of benchmarks.gpu, from its pieces."""

from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.gpu_data import RECIPES, SUBSETS, VARIANTS
from benchmarks.gpu_pieces import PLAIN
from benchmarks.gpu_plan import locate
from vision.base.files import read_json, write_json, write_text

TRAINED = [*RECIPES, *VARIANTS]
T_95 = {3: 4.303}  # Student's t, 97.5 %, n - 1 degrees of freedom, by n
PLAINLY = {  # by what a plain program differs from the recipe
    "whitened-cnn": "It has the same network, crops and flips, and SGD in the place of Muon.",
    "paper": "It computes what the recipe does.",
}
NAME_LENGTH = 100  # of a kernel; C++ templates are longer than any table


def write_page(
    folder: Path, conditions: dict[str, Any], names: list[str], missing: list[str]
) -> None:
    """Write both from what has been measured.

    Args:
        names: of all pieces, in their order.
        missing: a line on each that is not there.
    """
    paths = {name: locate(folder, name) for name in names}
    pieces = {name: read_json(path)["figures"] for name, path in paths.items() if path.exists()}
    results = summarise(pieces) | {"conditions": conditions, "missing": missing}
    write_json(folder / "gpu.json", results)
    write_text(folder / "README.md", "\n".join([*render(results), ""]))


def summarise(pieces: dict[str, Any]) -> dict[str, Any]:
    ceilings = pieces.get("ceilings")
    recipes: dict[str, Any] = {}
    for recipe in TRAINED:
        runs = [piece for name, piece in pieces.items() if name.startswith(f"{recipe}-seed-")]
        if runs:
            recipes[recipe] = summarise_runs(runs, ceilings)
    profiles = {recipe: pieces.get(f"profile-{recipe}") for recipe in TRAINED}
    plain = {recipe: pieces.get(f"plain-{recipe}") for recipe in PLAIN}
    return {
        "ceilings": ceilings,
        "recipes": recipes,
        "plain": {recipe: found for recipe, found in plain.items() if found},
        "profiles": {recipe: found for recipe, found in profiles.items() if found},
    }


def summarise_runs(runs: list[dict[str, Any]], ceilings: dict[str, float] | None) -> dict[str, Any]:
    """Return means over the seeds of one recipe, and the trainings themselves."""
    keys = ("images_per_second", "train_seconds", "fit_seconds", "whole_seconds")
    means = {key: mean(run[key] for run in runs) for key in keys}
    reached = mean(run["flops"] / run["train_seconds"] for run in runs)
    memories = [run["memory"]["reserved"] for run in runs if run["memory"]]
    return means | {
        "n": len(runs),
        "seeds": [run["seed"] for run in runs],
        "accuracy": {
            subset: bound([run["accuracy"][subset] for run in runs]) for subset in ("val", "test")
        },
        "flops_per_second": reached,
        "share_of_bf16_ceiling": reached / ceilings["bf16"] if ceilings else None,
        "peak_memory_bytes": max(memories, default=None),
        "runs": runs,
    }


def bound(values: list[float]) -> dict[str, Any]:
    """Return the mean and, of three values, its 95 % t-interval."""
    found: dict[str, Any] = {"mean": mean(values), "values": values, "interval": None}
    if t := T_95.get(len(values)):
        reach = t * stdev(values) / sqrt(len(values))
        found["interval"] = [found["mean"] - reach, found["mean"] + reach]
    return found


def render(results: dict[str, Any]) -> list[str]:
    return [
        "# The recipes on one GPU",
        "",
        *render_conditions(results),
        "",
        *render_recipes(results["recipes"]),
        *render_seeds(results["recipes"]),
        *render_ceilings(results["ceilings"]),
        *(
            line
            for name, found in results["plain"].items()
            for line in render_plain(name, found, results["recipes"].get(name))
        ),
        *(line for profile in results["profiles"].values() for line in render_profile(profile)),
        *render_missing(results["missing"]),
    ]


def render_conditions(results: dict[str, Any]) -> list[str]:
    facts = results["conditions"]
    images, weights = facts["images"], facts["weights"]
    listed = ", ".join(f"{facts['counts'][subset]:,} {subset}" for subset in SUBSETS)
    lines = [
        f"{facts['device']}, torch {facts['torch']}, Python {facts['python']}, commit "
        f"{facts['commit']}. {images['note']} {weights['note']} {listed} images, split by "
        "params.yaml's seed.",
    ]
    if facts["tiny"]:
        lines.append(
            "**A try-out on random images, with shortened recipes: no figure here counts.**"
        )
    elif not (images["official"] and weights["official"]):
        lines.append("**Stand-in data: not the official files.**")
    if images.get("same_pixels") is False:
        lines.append("The images decode to other pixels here than where they were split.")
    return lines


def render_recipes(recipes: dict[str, Any]) -> list[str]:
    if not recipes:
        return ["No recipe has been trained here.", ""]
    heads = ["recipe", "n", "seeds", "val %", "test %", "95 % of the test mean", "train s"]
    heads += ["with validation s", "in all s", "images/s", "of bf16 ceiling", "memory, GB"]
    rows = [_list_recipe(name, recipe) for name, recipe in recipes.items()]
    return [
        *write_table(heads, rows),
        "",
        "Means over the seeds, n trainings; of the epoch that validates best, all views of the "
        "recipe; `test` is read once, after that choice. The interval is Student's t over three "
        "seeds on the same images. `train`: forward, backward and step; `in all`: from building "
        "the network to the last figure. The share is the training's arithmetic, 2 for a "
        "multiplication with its addition, by second, over that of a large bf16 product in the "
        "same run, whatever the precision of the recipe. Memory: the most that torch held. "
        "`free` is without determinism, `compiled` also by torch.compile, whose minute of "
        "compiling is in its seconds: see its step below.",
        "",
    ]


def _list_recipe(name: str, recipe: dict[str, Any]) -> list[str]:
    val, test = recipe["accuracy"]["val"], recipe["accuracy"]["test"]
    interval, memory = test["interval"], recipe["peak_memory_bytes"]
    share = recipe["share_of_bf16_ceiling"]
    return [
        name,
        str(recipe["n"]),
        ", ".join(map(str, recipe["seeds"])),
        f"{100 * val['mean']:.2f}",
        f"{100 * test['mean']:.2f}",
        "[{:.2f}, {:.2f}]".format(*(100 * end for end in interval)) if interval else "",
        f"{recipe['train_seconds']:.1f}",
        f"{recipe['fit_seconds']:.1f}",
        f"{recipe['whole_seconds']:.1f}",
        f"{recipe['images_per_second']:,.0f}",
        f"{share:.1%}" if share else "",
        f"{memory / 1e9:.2f}" if memory else "",
    ]


def render_seeds(recipes: dict[str, Any]) -> list[str]:
    heads = ["recipe", "seed", "best epoch", "val %", "test %", "train s"]
    rows = [
        [
            name,
            run["seed"],
            f"{run['best_epoch']} of {len(run['history'])}",
            *(f"{100 * run['accuracy'][subset]:.2f}" for subset in ("val", "test")),
            f"{run['train_seconds']:.1f}",
        ]
        for name, recipe in recipes.items()
        for run in recipe["runs"]
    ]
    return [*write_table(heads, rows), ""] if rows else []


def render_ceilings(ceilings: dict[str, float] | None) -> list[str]:
    if not ceilings:
        return []
    rows = [[name, f"{rate / 1e12:,.3g}"] for name, rate in sorted(ceilings.items())]
    return ["## Ceilings", "", *write_table(["product of matrices", "TFLOP/s"], rows), ""]


def render_plain(name: str, plain: dict[str, Any], ours: dict[str, Any] | None) -> list[str]:
    rows = [
        [
            f"plain, {row['workers']} workers",
            f"{row['images_per_second']:,.0f}",
            f"{row['train_seconds']:.1f}",
            f"{row['fit_seconds']:.1f}",
        ]
        for row in plain["programs"]
    ]
    if ours:
        figures = [f"{ours[key]:.1f}" for key in ("train_seconds", "fit_seconds")]
        rows.append([f"ours, n = {ours['n']}", f"{ours['images_per_second']:,.0f}", *figures])
    return [
        f"## {name} beside a plain PyTorch program",
        "",
        *write_table(["program", "images/s", "train s", "with validation s"], rows),
        "",
        f"Of the plain program one epoch was timed, after some steps that warmed up; its seconds "
        f"are {plain['epochs']} times that epoch's. Batch {plain['batch_size']}, fp32. "
        f"{PLAINLY[name]}",
        "",
    ]


def render_profile(profile: dict[str, Any]) -> list[str]:
    heads = ["ms a step", "share", f"calls in {profile['steps']} steps", "kernel"]
    rows = [
        [
            f"{kernel['ms']:.3f}",
            f"{kernel['share']:.1%}",
            kernel["calls"],
            "`{}`".format(kernel["name"][:NAME_LENGTH].replace("|", "/").replace("`", "'")),
        ]
        for kernel in profile["kernels"]
    ]
    return [
        f"## The longest kernels of {profile['recipe']}",
        "",
        f"{profile['input_px']} px, batch {profile['batch_size']}: a step takes "
        f"{profile['step_ms']:.2f} ms without the profiler, its kernels {profile['kernel_ms']:.2f} "
        f"ms, by torch.profiler over {profile['steps']} steps. The share is of all kernels' time.",
        "",
        *write_table(heads, rows),
        "",
    ]


def render_missing(missing: list[str]) -> list[str]:
    listed = [f"- {line}" for line in missing]
    return ["## Not measured", "", *listed] if missing else []


def write_table(heads: list[str], rows: list[list[Any]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *(list(map(str, row)) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
