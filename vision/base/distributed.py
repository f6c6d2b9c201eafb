"""Train one network in several processes, one for each GPU, to what one process would give.

All processes draw the same order and the same augmentation. Each takes its share of every batch;
gradients are added up over all, and batch norm sees the statistics of the whole batch. In one
process nothing here does anything. vision/base/launching.py starts them.
"""

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from vision.base.errors import TrainingError

WORKER = "PIPELINE_WORKER"  # set in the processes that `launch` starts: who started them
ELASTIC = "TORCHELASTIC_RUN_ID"  # torchrun sets it in those that it starts

LOST = 75  # exit status of a process that others have left: EX_TEMPFAIL of sysexits.h
PATIENCE = timedelta(minutes=10)  # for another process that says nothing, but has not left
LEFT = ("Connection", "Read error", "Write error", "Broken pipe", "Timed out", "closed")
SHOWN = 3  # of the differing inputs that an error names


def is_worker() -> bool:
    """Say whether `launch` or torchrun started this process, as one of several.

    torchrun sets what torch's env:// reads; but platforms set WORLD_SIZE, too, for their programs.
    """
    return WORKER in os.environ or ELASTIC in os.environ


@contextmanager
def join_processes() -> Iterator[None]:
    """Meet the other processes, as the environment says; then leave.

    Of those on one machine the first alone writes to standard error.

    Raises:
        SystemExit: another process has ended or cannot be reached.
    """
    if not is_worker():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, timeout=PATIENCE)
        if is_first() and count_nodes() > 1:
            print(f"{count_processes()} processes on {count_nodes()} machines", flush=True)
        # An exception that run_stage does not know passes, and is printed by any process.
        with nullcontext() if is_first() else redirect_stderr(io.StringIO()):
            yield
    except RuntimeError as error:
        if not has_left(error):
            raise
        if is_first():
            print("note: another process of this training has ended", file=sys.stderr, flush=True)
        os._exit(LOST)  # without waiting for it
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def has_left(error: RuntimeError) -> bool:
    """Say whether this is what gloo or NCCL raise when another process ends."""
    text = str(error)
    is_of_gloo = "gloo" in text and any(word in text for word in LEFT)
    return isinstance(error, distributed.DistError) or is_of_gloo


def count_processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def count_nodes() -> int:
    """Return the number of machines; torchrun notes it."""
    return int(os.environ.get("GROUP_WORLD_SIZE", 1)) if distributed.is_initialized() else 1


def is_first() -> bool:
    """Say whether this process is the one of its machine that prints and writes."""
    return not distributed.is_initialized() or int(os.environ.get("LOCAL_RANK", 0)) == 0


def take_share(count: int) -> slice:
    """Return which of `count` images are this process's; the shares differ by one at most."""
    if not distributed.is_initialized():
        return slice(0, count)
    rank, n = distributed.get_rank(), distributed.get_world_size()
    return slice(rank * count // n, (rank + 1) * count // n)


def add_up(tensor: Tensor) -> None:
    """Add a tensor, in place, to its like in the other processes."""
    if count_processes() > 1:
        distributed.all_reduce(tensor)


def require_same(inputs: Mapping[str, str]) -> None:
    """See that all processes train on the same.

    Args:
        inputs: hashes of what decides the result, by name.

    Raises:
        TrainingError: one has others.
    """
    found: list[Any] = [inputs] * count_processes()
    if len(found) > 1:
        distributed.all_gather_object(found, dict(inputs))
    names = sorted({name for each in found for name in each.items() ^ found[0].items()})
    if differing := sorted({name for name, _ in names}):
        more = f" and {len(differing) - SHOWN} more" * (len(differing) > SHOWN)
        raise TrainingError(
            f"the machines of this training differ in {', '.join(differing[:SHOWN])}{more}: "
            "give all of them the same commit, params and data"
        )


def take_newest(state: dict[str, Any] | None, age: int) -> dict[str, Any] | None:
    """Return the state of the process that has come furthest: machines have files of their own.

    Args:
        state: this process's, or None.
        age: how far it has come; 0 where there is none.
    """
    if count_processes() == 1:
        return state
    ages: list[Any] = [0] * count_processes()
    distributed.all_gather_object(ages, age)
    source = ages.index(max(ages))
    box = [state if distributed.get_rank() == source else None]
    distributed.broadcast_object_list(box, src=source)
    return box[0]


def share_gradients(network: nn.Module) -> nn.Module:
    """Return the network such that its gradients are the mean of those of all processes.

    For an epoch: as with each new one, the order in which gradients are added up does not then
    depend on whether the training was ended in between.
    """
    if count_processes() == 1:
        return network
    return DistributedDataParallel(network, forward_sync_buffers=False)


def gathering_gradients(network: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Let the last of a batch's pieces fetch the gradients of the other processes, for all."""
    if is_last or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    waiting: AbstractContextManager[Any] = network.no_sync()
    return waiting


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
