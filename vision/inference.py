"""Run a network over images, on the GPU where there is one."""

import os

import numpy as np
import torch
from torch import nn

from vision.batches import count_batches, iterate_batches, to_input
from vision.data import ImageSet
from vision.models import ModelSpec
from vision.progress import track


def prepare_device() -> torch.device:
    """Choose the GPU where there is one, and ask for repeatable results on either."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable only so
    torch.use_deterministic_algorithms(True)
    # Off: filling fresh memory costs time, and nothing here reads memory before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, spec: ModelSpec) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16")


def predict_logits(
    model: nn.Module, spec: ModelSpec, data: ImageSet, batch_size: int, title: str
) -> np.ndarray:
    """Return the logits of every image of a subset, in its order: (n, classes) float32.

    Args:
        title: of the progress bar; "" shows none.
    """
    device = next(model.parameters()).device
    model.eval()
    order = torch.arange(len(data))
    batches = iterate_batches(data, order, batch_size, device)
    if title:
        batches = track(batches, title, total=count_batches(len(data), batch_size))
    parts = []
    with torch.inference_mode():
        for batch in batches:
            x = to_input(batch.images, spec)
            with autocast(device, spec):
                logits = model(x)
                if spec.test_flip:
                    logits = (logits + model(x.flip(3))) / 2
            parts.append(logits.float().cpu().numpy())
    return np.concatenate(parts)
