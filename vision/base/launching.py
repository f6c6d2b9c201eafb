"""Start the processes of one training: one for each GPU of this machine, and of others with it.

torchrun's agent starts them, in this process. Where several machines train one network, each
starts its own, and they meet at an address:

    PIPELINE_NODES=2 PIPELINE_RENDEZVOUS=trainer-1:29400 dvc repro    # on both

When a process or a machine ends, the others begin anew, from the checkpoint.
"""

import logging
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed

from vision.base.death_signal import watch_parent
from vision.base.distributed import WORKER
from vision.base.errors import ParamsError, TrainingError
from vision.base.fingerprint import digest
from vision.base.nodes import NODES, Nodes, find_address, find_interface, is_host
from vision.base.processor import count_cores
from vision.base.scoped import setting_variables
from vision.base.variables import read_variable

PROCESSES = "PIPELINE_PROCESSES"  # environment variable: on this machine; by default one a GPU

INTERFACE = "GLOO_SOCKET_IFNAME"  # environment variable of gloo: over which it talks to others

LOOPBACK = "127.0.0.1"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # that torchrun handles
GATHERING_S = 600  # that machines have for coming
LAST_CALL_S = 10  # for which those that would do wait for more
ENDING_S = 10  # that a process has for ending, when it is told to
RESTARTS = 3  # of a training whose processes end, where it has several machines


def count_wanted() -> int:
    """Return how many processes a training should have on this machine.

    Raises:
        ParamsError: PIPELINE_PROCESSES is no number above 0.
    """
    text = read_variable(PROCESSES) or str(max(1, torch.cuda.device_count()))
    if not text.isdigit() or not int(text):
        raise ParamsError(f"{PROCESSES} is {text!r}; give a number of processes, 1 or more")
    return int(text)


def end_with_launcher() -> None:
    """Have this process end when the one ends that started it: it has a session of its own."""
    launcher = int(os.environ.get(WORKER) or os.getppid())
    threading.Thread(target=_outlive, args=(launcher,), daemon=True).start()


def _outlive(launcher: int) -> None:
    if sys.platform == "linux":
        try:
            with os.fdopen(os.pidfd_open(launcher)) as ended:
                select.select([ended], [], [])
        except ProcessLookupError:
            pass
        os.kill(os.getpid(), signal.SIGKILL)  # files are written whole or not at all
    else:
        watch_parent(os.getppid(), signal.SIGKILL)


def launch(count: int, module: str, arguments: list[str], nodes: Nodes | None = None) -> int:
    """Run `python -m module` in `count` processes here, and so on each other machine.

    Returns:
        The status of the first process that failed, or 0.

    Raises:
        TrainingError: the machines do not find each other.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    nodes = nodes or Nodes()
    with _giving_back_signals(), tempfile.TemporaryDirectory() as folder, _silencing():
        config = _configure(count, nodes, digest(repr([module, *arguments]).encode()), folder)
        with setting_variables(_make_environment(count, nodes)):
            try:
                elastic_launch(config, sys.executable)("-m", module, *arguments)
                return 0
            except ChildFailedError as error:
                _, failure = error.get_first_failure()
                return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
            except (RendezvousError, torch.distributed.DistError) as error:
                raise TrainingError(_explain(error, nodes)) from None
            except SignalException as told:
                number = told.sigval
    signal.raise_signal(number)  # for who handled it before
    return 128 + number


def _configure(count: int, nodes: Nodes, name: str, folder: str) -> Any:
    """Return torchrun's settings.

    Args:
        name: of the training: with another one no machine meets.
        folder: for torchrun's own notes.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    waiting: dict[str, Any] = {"join_timeout": GATHERING_S, "read_timeout": GATHERING_S}
    if nodes.are_several:
        waiting |= {"last_call_timeout": LAST_CALL_S, "is_host": is_host(nodes.rendezvous)}
    return LaunchConfig(
        min_nodes=nodes.least,
        max_nodes=nodes.most,
        nproc_per_node=count,
        run_id=name,
        rdzv_backend="c10d",
        rdzv_endpoint=nodes.rendezvous or f"{LOOPBACK}:0",
        rdzv_configs=waiting,
        local_addr=find_address(nodes.rendezvous) if nodes.are_several else LOOPBACK,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        max_restarts=RESTARTS if nodes.are_several else 0,
        shutdown_timeout=ENDING_S,
    )


def _make_environment(count: int, nodes: Nodes) -> dict[str, str]:
    """Return what the processes find in their environment; what the user has set stays."""
    wanted = {"OMP_NUM_THREADS": str(max(1, count_cores() // count))}
    if nodes.are_several:
        # A machine that comes in another's place would never learn where a shared store is.
        wanted |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        if name := find_interface(find_address(nodes.rendezvous)):
            wanted[INTERFACE] = name
    return {WORKER: str(os.getpid())} | {key: os.environ.get(key, wanted[key]) for key in wanted}


def _explain(error: Exception, nodes: Nodes) -> str:
    from torch.distributed.elastic.rendezvous import RendezvousTimeoutError

    if isinstance(error, RendezvousTimeoutError):
        way_out = f"start the others, or let fewer do: {NODES}=1:{nodes.most}"
        return (
            f"fewer than {nodes.least} machines came to {nodes.rendezvous} within "
            f"{GATHERING_S // 60} minutes: {way_out}"
        )
    return (
        f"{nodes.rendezvous}, where the machines of this training meet, does not answer or has "
        "ended: run it again on all of them, they go on from their checkpoints"
    )


@contextmanager
def _silencing() -> Iterator[None]:
    """Leave out what torchrun says of processes that fail: they have said it themselves."""
    logger, silence = logging.getLogger("torch.distributed.elastic"), logging.NullHandler()
    logger.propagate = False
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)
        logger.propagate = True


@contextmanager
def _giving_back_signals() -> Iterator[None]:
    """Undo that torchrun handles signals from its first processes on."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
