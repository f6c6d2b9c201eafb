"""Whether a result that is current or comes back was computed on another kind of machine.

Another torch, another kind of processor or another number of threads makes no result stale: it is
what its inputs gave there. Computed here, its last digits would be others.
"""

import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vision.base.processor import count_cores, read_cpu_kind, read_cpu_name

GPU = Path("/dev/nvidiactl")  # of NVIDIA's driver: there is a GPU that torch would take


def describe_difference(timing: Mapping[str, Any]) -> str:
    """Say on what something was computed, and what is here, where that differs; or nothing.

    Args:
        timing: device, kind (not in old ones), threads and torch, as a training noted them.
    """
    here = describe_here()
    was = dict(timing) | {"torch": str(timing["torch"]).partition("+")[0]}
    keys = [key for key in here if key in was and was[key] != here[key]]
    if "kind" in was and "kind" not in keys:  # another name of the same kind changes nothing
        keys = [key for key in keys if key != "device"]
    if not keys:
        return ""
    return f"computed with {_describe(was)}; here {_describe(here)}"


@cache
def describe_here() -> dict[str, Any]:
    """Return what a stage would note of this machine, without loading torch."""
    here = {"torch": version("torch").partition("+")[0], "threads": _count_threads()}
    if GPU.exists():
        return here | {"kind": "GPU"}
    return here | {
        "device": f"{count_cores()} CPU cores ({read_cpu_name()})",
        "kind": read_cpu_kind(),
    }


def _count_threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or count_cores())


def _describe(facts: Mapping[str, Any]) -> str:
    threads = f"{facts['threads']} thread" + "s" * (facts["threads"] != 1)
    where = ", ".join(str(facts[key]) for key in ("device", "kind") if key in facts)
    return f"torch {facts['torch']}, {threads} on {where}"
