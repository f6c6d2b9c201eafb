"""Train the recipes for one GPU on it, within minutes, and write what they take.

Where the images are:  python -m benchmarks.gpu pack FOLDER
Where the GPU is:      python -m benchmarks.gpu run --pack FOLDER --name NAME
A try-out on the CPU:  python -m benchmarks.gpu run --tiny --name tiny

The second machine needs Python, torch and torchvision (with the numpy, Pillow, filelock and
typing-extensions that these require) and no network: the rest is in FOLDER, and nothing is
installed. `run` writes benchmarks/results/NAME/: gpu.json, README.md and pieces/, one file for
each finished measurement; called again, it goes on with those that are missing.
"""

import argparse
import os
import sys
import time
from pathlib import Path

# Only what Python itself has may be imported up here: the wheels are not on the path yet.
from benchmarks.gpu_pack import LIMIT_MIB, check_size, describe_pack, download_wheels, use_wheels
from vision.base.errors import PipelineError

RESULTS = Path("benchmarks/results")


def main(arguments: list[str] | None = None) -> int:
    started = time.monotonic()
    wanted = parse(arguments)
    try:
        return pack(wanted) if wanted.command == "pack" else run(wanted, started)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="gather wheels, images and weights in a folder")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--python", default="3.12", help="of the other machine")
    packing.add_argument("--limit", type=int, default=LIMIT_MIB, help="MiB, checkout included")
    packing.add_argument(
        "--leave-mirror",
        action="store_true",
        help="PIPELINE_MIRROR is set on the other machine as well",
    )
    running = commands.add_parser("run", help="measure")
    running.add_argument("--pack", type=Path, help="the folder that `pack` made")
    running.add_argument("--tiny", action="store_true", help="random images, for a try-out")
    running.add_argument("--name", required=True, help="of the folder of the results")
    running.add_argument("--minutes", type=float, default=8, help="that all may take")
    running.add_argument("--seeds", type=int, default=3, help="trainings of each recipe")
    running.add_argument("--results", type=Path, default=RESULTS, help="folder")
    wanted = parser.parse_args(arguments)
    if wanted.command == "run" and not (wanted.pack or wanted.tiny):
        parser.error("run needs --pack FOLDER, or --tiny for a try-out without one")
    return wanted


def pack(wanted: argparse.Namespace) -> int:
    from benchmarks.gpu_data import prepare

    download_wheels(wanted.folder, wanted.python)
    prepare(wanted.folder, with_files=not wanted.leave_mirror)
    n_bytes = check_size(wanted.folder, wanted.limit)
    print(
        f"{describe_pack(wanted.folder)}; with the checkout {n_bytes / 2**20:.1f} MiB. Over there:"
    )
    print(f"python3 -m benchmarks.gpu run --pack {wanted.folder} --name NAME")
    return 0


def run(wanted: argparse.Namespace, started: float) -> int:
    # cuBLAS reads it once, when it starts: the ceiling, too, is measured as the trainings are.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if wanted.pack:
        use_wheels(wanted.pack)
    from benchmarks.gpu_data import load, make_tiny
    from benchmarks.gpu_page import write_page
    from benchmarks.gpu_plan import Budget, describe_conditions, list_pieces, run_pieces

    budget = Budget(started, 60 * wanted.minutes)
    stock = make_tiny() if wanted.tiny else load(wanted.pack)
    folder = wanted.results / wanted.name
    conditions = describe_conditions(stock)
    pieces = list_pieces(stock, wanted.seeds)
    names = [piece.name for piece in pieces]
    for missing in run_pieces(pieces, folder, conditions, budget):
        write_page(folder, conditions, names, missing)  # each time: this process may be ended
    print(f"{folder / 'README.md'}, {budget.spent():.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
