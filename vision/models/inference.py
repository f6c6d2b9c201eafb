"""Run a network over images, on the GPU where there is one."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from vision.base.allocation import keep_freed_memory
from vision.base.processor import count_cores
from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.models.batches import count_batches, iterate_batches, shift, to_input
from vision.models.convolutions import speeding_up_small_maps
from vision.models.networks import ModelSpec, list_members


def prepare_device(deterministic: bool = True) -> torch.device:
    """Choose the GPU where there is one, and ask for repeatable results on either.

    Args:
        deterministic: False asks for the fastest kernels instead, which cuDNN tries out.
    """
    if "OMP_NUM_THREADS" not in os.environ and count_cores() < torch.get_num_threads():
        torch.set_num_threads(count_cores())  # more would wait for the same share of the time
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable only so
    # The same as use_deterministic_algorithms, which loads the compiler first, for seconds.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.benchmark = not deterministic
    # Off: filling fresh memory costs time, and nothing here reads memory before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if torch.cuda.is_available():
        return torch.device("cuda")
    keep_freed_memory()
    return torch.device("cpu")


def autocast(device: torch.device, spec: ModelSpec) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16")


@contextmanager
def inferring(device: torch.device, spec: ModelSpec) -> Iterator[None]:
    """Compute without gradients, in the precision of the model."""
    with torch.inference_mode(), autocast(device, spec), speeding_up_small_maps(device):
        yield


class Classifier(nn.Module):
    """A network with what comes before and after it.

    (B, H, W, 3) uint8 images of the stored size -> (B, classes) float32 logits.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.network, self.spec = network, spec
        self.members = nn.ModuleList(  # of an average, each judged as it is by itself
            Classifier(network.get_submodule(f"members.{index}"), member)
            for index, member in enumerate(list_members(spec))
        )

    def forward(self, images: Tensor) -> Tensor:
        if self.members:
            shares = zip(self.spec.options["shares"], self.members, strict=True)
            return torch.stack([share * member(images) for share, member in shares]).sum(0)
        if not (below := self.spec.test_views_below):
            return self._average(images)
        logits = self._average(images, n_views=1)
        is_unsure = logits.softmax(1).amax(1) < below
        if torch.compiler.is_exporting():  # a graph has no choice: it computes all
            return torch.where(is_unsure[:, None], self._average(images), logits)
        if rows := is_unsure.nonzero()[:, 0].tolist():
            logits[rows] = self._average(images[rows])
        return logits

    def _average(self, images: Tensor, n_views: int | None = None) -> Tensor:
        """Return the mean logits of all views, or of the first ones."""
        with autocast(images.device, self.spec):
            views = islice(self._get_views(images), n_views)
            logits = [self.network(view).float() for view in views]
        return torch.stack(logits).mean(0)

    def _get_views(self, images: Tensor) -> Iterator[Tensor]:
        """Yield what the network looks at, (B, 3, P, P) each."""
        px = self.spec.test_shift_px
        for by in [0, px, -px] if px else [0]:
            x = to_input(shift(images, by) if by else images, self.spec)
            yield x
            if self.spec.test_flip:
                yield x.flip(3)


def predict_logits(
    model: nn.Module, spec: ModelSpec, data: ImageSet, batch_size: int, title: str
) -> np.ndarray:
    """Return the logits of every image of a subset, in its order: (n, classes) float32.

    Args:
        title: of the progress bar; "" shows none.
    """
    device, order = next(model.parameters()).device, torch.arange(len(data))
    batches = iterate_batches(data, order, batch_size, device)
    if title:
        batches = track(batches, title, total=count_batches(len(data), batch_size))
    return predict_batches(model, spec, (batch.images for batch in batches))


def predict_batches(model: nn.Module, spec: ModelSpec, batches: Iterable[Tensor]) -> np.ndarray:
    """Return the logits of every image of the batches, (B, H, W, 3) uint8: (n, classes) float32."""
    device = next(model.parameters()).device
    classify = Classifier(model, spec).eval()
    with inferring(device, spec):
        return np.concatenate([classify(images.to(device)).cpu().numpy() for images in batches])
