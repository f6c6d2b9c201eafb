"""Say what a figure was measured on."""

import os
import platform
from pathlib import Path

import torch


def describe_hardware() -> dict[str, str | int]:
    """Return the device, the number of CPU threads and torch's version, for a timing."""
    return {
        "device": _describe_device(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _describe_device() -> str:
    if torch.cuda.is_available():
        return f"1x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} CPU cores ({_read_cpu_name()})"


def _read_cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux alone; elsewhere the platform's own word
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
