"""Gradients of convolutions whose maps are small, as in the last layers of a ResNet.

For maps of a few pixels a CPU's oneDNN takes many times as long for the gradients as for the
forward pass. Here each place of the kernel is one product of matrices, over those pixels alone
that meet it inside the map: at one pixel, 1 of the 9 places of a 3x3 kernel.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGEST = 4  # side of the maps that gain by it, measured on ResNet18 at 32 to 64 px


class SmallConvolution(Function):
    """conv2d without bias, dilation or groups: (B, I, H, W), (O, I, K, K) -> (B, O, h, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad[:2]
        # channels last: a pixel of a map is a row of a matrix
        grad, pixels, kernel = (
            each.to(grads[0].dtype).permute(0, 2, 3, 1) for each in (grads[0], x, weight)
        )
        x_grad, weight_grad = torch.zeros_like(pixels), torch.zeros_like(kernel)
        sides = zip(grad.shape[1:3], pixels.shape[1:3], kernel.shape[1:3], strict=True)
        rows, columns = (_meet(*side, ctx.stride, ctx.padding) for side in sides)
        for i, row_out, row_in in rows:
            for j, column_out, column_in in columns:
                there = grad[:, row_out, column_out]
                here = pixels[:, row_in, column_in]
                there, shape = there.reshape(-1, there.shape[-1]), here.shape
                if for_weight:
                    here = here.reshape(-1, shape[-1])
                    torch.mm(there.t(), here, out=weight_grad[:, i, j])
                if for_x:
                    x_grad[:, row_in, column_in] += (there @ kernel[:, i, j]).view(shape)
        return (
            x_grad.permute(0, 3, 1, 2).to(x.dtype) if for_x else None,
            weight_grad.permute(0, 3, 1, 2).to(weight.dtype) if for_weight else None,
            None,
            None,
        )


def _meet(
    n_out: int, n_in: int, n_kernel: int, stride: int, padding: int
) -> list[tuple[int, slice, slice]]:
    """Return, for each place of a kernel that ever meets the map, the outputs and inputs there."""
    found = []
    for place in range(n_kernel):
        shift = place - padding  # of the input to `stride` times the output
        first = max(0, -(shift // stride))
        last = min(n_out - 1, (n_in - 1 - shift) // stride)
        if first <= last:
            start, stop = first * stride + shift, last * stride + shift + 1
            found.append((place, slice(first, last + 1), slice(start, stop, stride)))
    return found


class _SmallMaps(TorchFunctionMode):
    """Takes the calls of torch.nn.Conv2d that SmallConvolution can do better."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.conv2d and not kwargs and _is_small(*args):
            x, weight, _, stride, padding, *_ = args
            return SmallConvolution.apply(x, weight, stride[0], padding[0])
        return func(*args, **(kwargs or {}))


def _is_small(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int] | str,
    dilation: tuple[int, int],
    groups: int,
) -> bool:
    if bias is not None or isinstance(padding, str) or dilation != (1, 1) or groups != 1:
        return False
    if stride[0] != stride[1] or padding[0] != padding[1]:
        return False
    sides = zip(x.shape[2:], weight.shape[2:], strict=True)
    return all((n + 2 * padding[0] - k) // stride[0] < LARGEST for n, k in sides)


def speeding_up_small_maps(device: torch.device) -> AbstractContextManager[object]:
    """Let convolutions of small maps compute their gradients this way, where that is faster."""
    return _SmallMaps() if device.type == "cpu" else nullcontext()
