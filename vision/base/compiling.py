"""Networks compiled by torch.compile, and whether this machine can compile at all.

torch loads its compiler, for seconds, only where a recipe asks for it.
"""

from typing import cast

import torch
from torch import nn

from vision.base.batch_norms import WholeBatchNorm
from vision.base.errors import TrainingError

BACKEND = "inductor"  # torch's own
# Of one network: batches differ by an image, and sizes, pieces and frozen parts by the epoch. torch
# would take 8, and then go on without a word as if nothing were compiled.
MOST_VARIANTS = 64


def compile_network(network: nn.Module, deterministic: bool) -> nn.Module:
    """Return the network with compiled passes, which shares its weights.

    Each shape is compiled for itself: what a batch gives then hangs on no batch before it, and a
    training that goes on gives what one gives that was never ended.

    Raises:
        TrainingError: this machine cannot compile.
    """
    torch.use_deterministic_algorithms(deterministic)  # tells the compiler, too
    check_compiler(next(network.parameters()).device)
    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    for module in network.modules():
        if isinstance(module, WholeBatchNorm | nn.SyncBatchNorm):  # they ask other processes
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]
    return cast(nn.Module, torch.compile(network, dynamic=False, backend=BACKEND))


def check_compiler(device: torch.device) -> None:
    """Compile a small function, so that a lack is known before the first epoch, not in it.

    Raises:
        TrainingError: this machine cannot compile.
    """
    x = torch.ones(64, device=device, requires_grad=True)
    try:
        torch.compile(_try, backend=BACKEND)(x).backward()
    except Exception as error:  # whatever a compiler, its headers or a driver lack
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        need = "a C compiler" if device.type == "cuda" else "a C++ compiler, such as g++"
        raise TrainingError(
            f"compile: true cannot be had on this machine ({reason}): install {need}, and Python's "
            "headers, or set compile: false"
        ) from None


def _try(x: torch.Tensor) -> torch.Tensor:
    return (x.sin() * x).sum()
