"""A GPU of its own for each placed stage, where a machine has several."""

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.orchestration.server import GPU_TAG
from flows.placing.turns import wait_for_one
from vision.base.scoped import setting_variables

COUNT = "PIPELINE_GPUS"  # environment variable: that of the deployment, see pools.py
VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")


@contextmanager
def hold_gpu(
    tags: Sequence[str], stop: threading.Event, tell: Callable[[str], None]
) -> Iterator[str | None]:
    """Let a stage tagged `gpu` see one GPU that no other placed stage of the machine has.

    Yields:
        Its number; None where GPUs are not dealt out, or `stop` was set.
    """
    numbers = list_gpus() if GPU_TAG in tags else []
    lock = wait_for_one("GPUs", numbers, stop, tell) if numbers else None
    if not lock:
        yield None
        return
    number = Path(lock.lock_file).stem
    try:
        with setting_variables({VISIBLE: number}):
            yield number
    finally:
        lock.release()


def list_gpus() -> list[str]:
    """Return the numbers of the GPUs that are to be dealt out: those that this process may see."""
    count = int(os.environ.get(COUNT) or 0)
    visible = [number.strip() for number in os.environ.get(VISIBLE, "").split(",")]
    return (list(filter(None, visible)) or [str(number) for number in range(count)])[:count]


def read_gpu_names() -> list[str]:
    """Return the names of this machine's GPUs, as NVIDIA's driver gives them."""
    texts = [path.read_text() for path in sorted(DRIVER.glob("*/information"))]
    return [found[1].strip() for text in texts if (found := re.search(r"Model:(.*)", text))]
