"""Convolutions whose maps are small, as in the last layers of a ResNet, as products of matrices.

On maps of a few pixels most of a kernel lies outside the map, and a CPU's oneDNN multiplies there
all the same; for the gradients it takes many times as long as for the forward pass. Here only what
meets inside the map is multiplied: on a map of one pixel, 1 of the 9 places of a 3x3 kernel.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Sides of the maps that gain by it, measured on ResNet18 at 32 to 80 px: of those whose gradients
# are computed this way, and of those whose forward pass is.
LARGEST = 4
LARGEST_FORWARD, LARGEST_FORWARD_BF16 = 2, 3


class SmallConvolution(Function):
    """conv2d without bias, dilation or groups: (B, I, H, W), (O, I, K, K) -> (B, O, h, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return convolve(x, weight, stride, padding)

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


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return conv2d of (B, I, H, W) with (O, I, K, K), the smallest maps by products of matrices.

    A row of the kernel meets neighbours in a row of the map: one product for each row of the kernel
    and each column of the output.
    """
    sides = _count_places(x, weight, stride, padding)
    if max(sides) > (LARGEST_FORWARD_BF16 if x.dtype == torch.bfloat16 else LARGEST_FORWARD):
        return functional.conv2d(x, weight, None, stride, padding)
    pixels, kernel = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
    out = pixels.new_zeros(len(pixels), *sides, len(kernel))
    rows = _meet(sides[0], pixels.shape[1], kernel.shape[1], stride, padding)
    for i, row_out, row_in in rows:
        for column in range(sides[1]):
            first = column * stride - padding  # of the map, under the kernel's first place
            inside = slice(max(0, first), min(first + kernel.shape[2], pixels.shape[2]))
            if inside.start >= inside.stop:
                continue
            places = kernel[:, i, inside.start - first : inside.stop - first]
            places = places.flatten(1)  # (O, n, I) -> (O, n * I)
            here = pixels[:, row_in, inside].reshape(-1, places.shape[1])  # (B * rows, n * I)
            there = out[:, row_out, column]  # (B, rows, O)
            there += (here @ places.t()).view(there.shape)
    return out.permute(0, 3, 1, 2)


def _count_places(x: Tensor, weight: Tensor, stride: int, padding: int) -> list[int]:
    """Return the height and the width of the output."""
    sides = zip(x.shape[2:], weight.shape[2:], strict=True)
    return [(n + 2 * padding - k) // stride + 1 for n, k in sides]


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

    def __init__(self) -> None:
        super().__init__()
        is_mixed = torch.is_autocast_enabled("cpu")
        self.dtype = torch.get_autocast_dtype("cpu") if is_mixed else None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.conv2d and not kwargs and _is_small(*args):
            x, weight, _, stride, padding, *_ = args
            if self.dtype:  # as autocast would; here, so that it is done once for both passes
                x, weight = x.to(self.dtype), weight.to(self.dtype)
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
    return max(_count_places(x, weight, stride[0], padding[0])) <= LARGEST


def speeding_up_small_maps(device: torch.device) -> AbstractContextManager[object]:
    """Let convolutions of small maps be computed this way, where that is faster.

    Enter it inside autocast, which it asks once for its type.
    """
    return _SmallMaps() if device.type == "cpu" else nullcontext()
