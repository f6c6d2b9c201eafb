"""Train one network in several processes, one for each GPU, to what one process would give.

All processes draw the same order and the same augmentation. Each takes its share of every batch;
gradients are added up over all, and batch norm sees the statistics of the whole batch. In one
process nothing here does anything.
"""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from vision.base.death_signal import end_with_parent
from vision.base.errors import ParamsError
from vision.base.processor import count_cores
from vision.base.variables import read_variable

PROCESSES = "PIPELINE_PROCESSES"  # environment variable: how many; by default one for each GPU

WORKER = "PIPELINE_WORKER"  # set in the processes that `launch` starts
ELASTIC = "TORCHELASTIC_RUN_ID"  # torchrun sets it in those that it starts

KILL_WITH_PARENT = partial(end_with_parent, signal.SIGKILL)


def count_wanted() -> int:
    """Return how many processes a training should have.

    Raises:
        ParamsError: PIPELINE_PROCESSES is no number above 0.
    """
    text = read_variable(PROCESSES) or str(max(1, torch.cuda.device_count()))
    if not text.isdigit() or not int(text):
        raise ParamsError(f"{PROCESSES} is {text!r}; give a number of processes, 1 or more")
    return int(text)


def is_worker() -> bool:
    """Say whether `launch` or torchrun started this process.

    Both set what torch's env:// reads; but platforms set WORLD_SIZE, too, for programs of theirs.
    """
    return WORKER in os.environ or ELASTIC in os.environ


def launch(count: int, module: str, arguments: list[str]) -> int:
    """Run `python -m module` in `count` processes and return the exit status.

    torchrun would give each a session of its own, in which it outlives a stage that is killed.
    These stay in the stage's process group, and Linux ends them when the stage ends.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, count_cores() // count)
    shared = {"OMP_NUM_THREADS": str(threads)} | os.environ
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared |= {WORKER: str(os.getpid())}
    command = [sys.executable, "-m", module, *arguments]
    workers = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            preexec_fn=partial(end_with_parent, signal.SIGKILL)
            if sys.platform == "linux"
            else None,
        )
        for rank in range(count)
    ]
    try:
        return _wait(workers)
    finally:
        for worker in workers:
            worker.kill()  # files are written whole or not at all
            worker.wait()


def _wait(workers: list[subprocess.Popen[bytes]]) -> int:
    """Return the first status that is not 0; the others would wait for that worker in vain."""
    while True:
        statuses = [worker.poll() for worker in workers]
        failed = [status for status in statuses if status]
        if failed or None not in statuses:
            return failed[0] if failed else 0
        time.sleep(0.05)


@contextmanager
def join_processes() -> Iterator[None]:
    """Meet the other processes, of which the first alone writes to standard error; then leave."""
    if not is_worker():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        # An exception that run_stage does not know passes, and is printed by any process.
        with nullcontext() if is_first() else redirect_stderr(io.StringIO()):
            yield
    finally:
        distributed.destroy_process_group()


def count_processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Say whether this process is the one that prints and writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def take_share(count: int) -> slice:
    """Return which of `count` images are this process's; the shares differ by one at most."""
    if not distributed.is_initialized():
        return slice(0, count)
    rank, n = distributed.get_rank(), distributed.get_world_size()
    return slice(rank * count // n, (rank + 1) * count // n)


def add_up(tensors: Iterable[Tensor]) -> None:
    """Add each tensor, in place, to its like in the other processes."""
    parts = list(tensors)
    if count_processes() == 1 or not parts:
        return
    flat = torch.cat([part.reshape(-1) for part in parts])
    distributed.all_reduce(flat)
    for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(total.view(part.shape))


def synchronise_batch_norms(model: nn.Module) -> None:
    """Let every batch norm of a network see the whole batch, if there are several processes."""
    if count_processes() == 1:
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_, gradient)


class WholeBatchNorm(nn.BatchNorm2d):
    """A batch norm over the batch of all processes, whose shares may differ and be empty.

    torch's SyncBatchNorm does this on GPUs alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = torch.tensor([values.numel() / values.shape[1]], device=x.device)
        sums = _Sum.apply(torch.cat([values.sum((0, 2, 3)), count]))
        n, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / n
        self._note(mean.detach(), variance.detach() * n / (n - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        scaled: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return scaled.to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's batch norm does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(variance, self.momentum or 0.0)


def measure_loss(
    logits: Tensor,
    labels: Tensor,
    n_whole: int,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Return these images' part of the mean loss over a batch of `n_whole`.

    Args:
        weights: of each class, (classes,).
    """
    if len(labels) == n_whole and weights is None:
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    total = functional.cross_entropy(
        logits, labels, weights, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / n_whole
