"""Find out what saturates first when stages run on many workers.

Costs are measured on this machine, in some two minutes; runs of 10 to 1,000 workers over 1 to 100
million images are simulated with them. Run: python -m benchmarks.scale
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from benchmarks.compare import write_table
from benchmarks.scale_costs import TOGETHER, Call, Seen, measure
from benchmarks.scale_model import SHARED, Costs, Load, find_demands, find_limits, simulate
from vision.base.hardware import describe_hardware

WORKERS = (10, 100, 1_000)
IMAGES = (1_000_000, 10_000_000, 100_000_000)
CHILDREN = (10, 50, 200)  # followed at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--children", type=int, nargs="*", default=CHILDREN)
    parser.add_argument("--images-per-stage", type=int, default=Load.images_per_stage)
    parser.add_argument("--images-per-second", type=float, default=Load.images_per_second)
    wanted = parser.parse_args()
    print(f"{describe_hardware()}\n")
    seen = measure(wanted.children)
    print(*describe_costs(seen), sep="\n")
    load = Load(
        workers=0,
        images=0,
        images_per_stage=wanted.images_per_stage,
        images_per_second=wanted.images_per_second,
    )
    print("", *describe_runs(load, seen.get_costs()), sep="\n")
    print("", *describe_limits(load, seen), sep="\n")


def describe_costs(seen: Seen) -> Iterator[str]:
    """Yield the table of what was measured, and how many children could be followed."""
    rows: list[Sequence[object]] = [
        (f"push a reference, {count:,} there", _say_ms(push), "", "")
        for count, (push, _) in seen.git.items()
    ]
    rows += [
        (f"fetch a reference, {count:,} there", _say_ms(fetch), "", "")
        for count, (_, fetch) in seen.git.items()
    ]
    size, written, spent, fetched = seen.bundle
    bundle = f"a bundle of this project, {size / 1e6:.1f} MB"
    rows.append((f"write {bundle}", _say_ms(written), "", _say_ms(spent)))
    rows.append((f"fetch {bundle}", _say_ms(fetched), "", ""))
    rows.append(_list_call("look at a stage", seen.look))
    rows.append(_list_call(f"look at {TOGETHER} stages together", seen.together))
    rows.append(_list_call("change a state", seen.write))
    rows.append(("ask a remote for an object", "", "", _say_ms(seen.query_s)))
    yield from write_table(("act", "ms", "server's CPU, ms", "our CPU, ms"), rows)
    yield ""
    followed = [
        (count, f"{wanted:.0f}", f"{looks:.0f}", _say_ms(own))
        for count, (looks, wanted, own) in seen.followed.items()
    ]
    yield from write_table(
        ("children", "looks/s wanted", "looks/s", "our CPU a look, ms"), followed
    )


def _list_call(title: str, call: Call) -> tuple[str, ...]:
    return title, _say_ms(call.seconds), _say_ms(call.server_s), _say_ms(call.client_s)


def _say_ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g}"


def describe_runs(load: Load, costs: Costs) -> Iterator[str]:
    """Yield the table of simulated runs: all shards once, each stage reading its own."""
    rows = []
    for images, workers in product(IMAGES, WORKERS):
        case = replace(load, images=images, workers=workers)
        outcome = simulate(case, costs)
        rows.append(
            (
                f"{images // 10**6} M",
                f"{workers:,}",
                f"{case.stages:,}",
                f"{outcome.ideal_s / 60:.0f}",
                f"{outcome.seconds / 60:.0f}",
                *(f"{outcome.busy[name]:.0%}" for name in SHARED),
            )
        )
    head = ("images", "workers", "stages", "ideal, min", "minutes", *SHARED)
    yield from write_table(head, rows)


def describe_limits(load: Load, seen: Seen) -> Iterator[str]:
    """Yield the table of how many workers each shared thing can serve, and after which change."""
    costs, together = seen.get_costs(), seen.get_costs_together()
    whole = replace(load, images=IMAGES[-1])
    longer = replace(whole, images_per_stage=10 * load.images_per_stage)
    cases = {
        "as it is": (whole, costs),
        "as it is, in bundles": (replace(whole, bundled=True), costs),
        "one look at all stages": (whole, together),
        "and stages ten times as long": (longer, together),
        "as it is, each stage reading all": (replace(whole, reads_all=True), costs),
    }
    rows = [
        (title, *(_say_workers(workers) for workers in find_limits(*case).values()))
        for title, case in cases.items()
    ]
    yield from write_table(("workers that it can serve", *SHARED), rows)
    yield ""
    demands = find_demands(whole, costs, active=100)
    taken = ", ".join(f"{name} {demands[name]:.2f}" for name in SHARED)
    yield f"Seconds of each that a stage takes beside polling, 100 at work: {taken}."


def _say_workers(workers: float) -> str:
    if math.isinf(workers):
        return "any"
    return f"{workers:,.0f}" if workers >= 1 else "less than 1"


if __name__ == "__main__":
    main()
