"""What kind of processor this is, as far as it decides the last digits of a result.

Loads no torch, so that a plan need not wait for it.
"""

import platform
from collections.abc import Iterator
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux alone; elsewhere the platform's own word
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
