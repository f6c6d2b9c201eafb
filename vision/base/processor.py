"""What kind of processor this is, as far as it decides the last digits of a result.

And how many of its cores are ours. Loads no torch, so that a plan need not wait for it.
"""

import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux alone; elsewhere the platform's own word
OWN_CGROUPS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
# By the instructions that torch's matrix products take, the best first: with others the sums of a
# product are added up in another order.
KINDS = {"amx_tile": "AMX", "avx512_bf16": "AVX512-bf16", "avx512f": "AVX512", "avx2": "AVX2"}


def read_cpu_name() -> str:
    return next(_read("model name"), platform.processor() or platform.machine())


def read_cpu_kind() -> str:
    """Return the best instructions for products of matrices, or the architecture."""
    flags = set(next(_read("flags"), "").split())
    return next((kind for flag, kind in KINDS.items() if flag in flags), platform.machine())


def _read(key: str) -> Iterator[str]:
    for line in CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []:
        if line.startswith(key):
            yield line.partition(":")[2].strip()


def count_cores() -> int:
    """Return how many cores' worth of time this process has: a container may have part of one."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, read_quota())))


def read_quota() -> float:
    """Return the cores' worth of time that the process's control groups grant; inf: no limit."""
    return min(_list_quotas(), default=math.inf)


def _list_quotas() -> Iterator[float]:
    """Yield what each group from the process's own upwards grants, in either version of them."""
    lines = OWN_CGROUPS.read_text(encoding="utf-8").splitlines() if OWN_CGROUPS.exists() else []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        top = CGROUPS / controllers
        if not top.is_dir():
            top = CGROUPS / "cpu"
        folder = top / path.lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(top):
                with suppress(OSError, ValueError, ZeroDivisionError):  # this group has no limit
                    yield _read_quota(each)


def _read_quota(folder: Path) -> float:
    """Return the microseconds of a period that a group has, by those of the period."""
    if (file := folder / "cpu.max").exists():
        quota, period = file.read_text().split()
    else:
        quota, period = (
            (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
    if quota.strip() in ("max", "-1"):
        return math.inf
    return float(quota) / float(period)
