"""Batch norms that see the whole batch of a training, of which each process has a share."""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from vision.base.distributed import count_processes


def synchronise_batch_norms(model: nn.Module) -> nn.Module:
    """Let every batch norm of a network see the whole batch, if there are several processes."""
    if count_processes() == 1:
        return model
    if torch.cuda.is_available():
        synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return synchronised
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm
    return model


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
