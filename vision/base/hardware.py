"""Say what a figure was measured on."""

import math
import sys
import time
from itertools import product

import torch

from vision.base.distributed import count_nodes, count_processes
from vision.base.processor import count_cores, read_cpu_kind, read_cpu_name

BF16_SIDE = 256  # of the matrices that are multiplied to see what bf16 gives
BF16_ROUNDS = 10  # of which the fastest counts: other work on the cores slows one or the other


def describe_hardware() -> dict[str, str | int]:
    """Return the device, its kind, the number of CPU threads and torch's version, for a timing."""
    return {
        "device": _describe_device(),
        "kind": "GPU" if torch.cuda.is_available() else read_cpu_kind(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def check_precision(precision: str, device: torch.device) -> None:
    """Warn where bf16, which a recipe asks for, is slower than fp32: it is not changed silently."""
    if precision == "bf16" and device.type == "cpu" and (gain := measure_bf16_gain()) < 1:
        print(
            f"warning: this processor multiplies {1 / gain:.2g} times slower in bf16 than in fp32; "
            "set precision: fp32, which is another recipe with another result",
            file=sys.stderr,
        )


def measure_bf16_gain() -> float:
    """Return how many times as fast as in fp32 this processor multiplies in bf16."""
    fastest = dict.fromkeys((torch.bfloat16, torch.float32), math.inf)
    for _, dtype in product(range(BF16_ROUNDS), fastest):
        matrix = torch.ones(BF16_SIDE, BF16_SIDE, dtype=dtype)
        started = time.perf_counter()
        _ = matrix @ matrix
        fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    return fastest[torch.float32] / fastest[torch.bfloat16]


def _describe_device() -> str:
    n, machines = count_processes(), f"{count_nodes()} machines, each " * (count_nodes() > 1)
    if torch.cuda.is_available():
        return f"{machines}{n // count_nodes()}x {torch.cuda.get_device_name()}"
    share = f"{n} processes on {machines}" * (n > 1)
    return f"{share}{count_cores()} CPU cores ({read_cpu_name()})"
