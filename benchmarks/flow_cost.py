"""Measure what Prefect adds to plain `dvc repro`: with nothing to do, and on a whole run.

Run in a project that is up to date, with PREFECT_API_URL naming a running server:
    python -m benchmarks.flow_cost --no-ops 5 --full 1
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from vision.base.hardware import describe_hardware
from vision.base.kept import CHECKPOINTS

DVC = [sys.executable, "-m", "dvc", "repro"]
FLOW = [sys.executable, "-c", "from flows.cli import main; main()", "run"]
COMMANDS = {
    "dvc repro": DVC,
    "pipeline run": FLOW,
    "pipeline run --jobs 1": [*FLOW, "--jobs", "1"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-ops", type=int, default=5, help="runs with nothing to do, of each")
    parser.add_argument("--full", type=int, default=1, help="runs of all stages, of each")
    wanted = parser.parse_args()
    print(f"{describe_hardware()}\n")
    print("| run | command | median s | all, s |\n|---|---|---|---|")
    for title, rounds, options in [
        ("nothing to do", wanted.no_ops, []),
        ("all stages", wanted.full, ["--force"]),
    ]:
        for name, seconds in measure(rounds, options).items():
            listed = ", ".join(f"{value:.1f}" for value in seconds)
            print(
                f"| {title} | `{name}` | {statistics.median(seconds):.1f} | {listed} |", flush=True
            )


def measure(rounds: int, options: list[str]) -> dict[str, list[float]]:
    """Return the seconds of each command's runs, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            done = subprocess.run(
                [*command, *options],
                env=os.environ | {CHECKPOINTS: ""},  # or a forced training would be found finished
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            seconds[name].append(time.perf_counter() - started)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stdout.decode()}")
    return {name: values for name, values in seconds.items() if values}


if __name__ == "__main__":
    main()
