"""Convolutions of small maps, and their gradients, are those of torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

from vision.models.convolutions import SmallConvolution, speeding_up_small_maps

CPU = torch.device("cpu")
SHAPES = [  # side of the map and of the kernel, stride, padding
    (1, 3, 1, 1),
    (2, 3, 1, 1),
    (2, 3, 2, 1),
    (4, 3, 1, 1),
    (5, 3, 2, 0),
    (4, 1, 2, 0),
    (3, 5, 1, 2),
    (6, 2, 3, 0),
]


def make(side: int, kernel: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, side, side, generator=generator, dtype=dtype)
    weight = torch.randn(5, 4, kernel, kernel, generator=generator, dtype=dtype)
    return x.requires_grad_(), weight.requires_grad_()


@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), SHAPES)
def test_gradients_are_those_of_small_steps(
    side: int, kernel: int, stride: int, padding: int
) -> None:
    inputs = (*make(side, kernel, torch.float64), stride, padding)
    assert torch.autograd.gradcheck(SmallConvolution.apply, inputs)


@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_torch(
    side: int, kernel: int, stride: int, padding: int, layout: torch.memory_format
) -> None:
    x, weight = (each.to(memory_format=layout) for each in make(side, kernel, torch.float32))
    plain = functional.conv2d(x, weight, None, stride, padding)
    ours = SmallConvolution.apply(x, weight, stride, padding)
    torch.testing.assert_close(ours, plain)
    grad = torch.randn_like(plain)
    for expected, found in zip(
        torch.autograd.grad(plain, (x, weight), grad),
        torch.autograd.grad(ours, (x, weight), grad),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    inputs = make(2, 3, torch.float32)
    inputs[frozen].requires_grad_(False)
    SmallConvolution.apply(*inputs, 1, 1).sum().backward()
    assert inputs[frozen].grad is None
    assert inputs[1 - frozen].grad is not None


@pytest.mark.parametrize("side", [1, 2, 3])
def test_it_computes_in_the_type_of_autocast(side: int) -> None:
    convolution = nn.Conv2d(4, 5, 3, padding=1, bias=False)
    images = torch.randn(2, 4, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        plain = convolution(images)
        with speeding_up_small_maps(CPU):
            ours = convolution(images)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours, plain, rtol=0.01, atol=0.01)  # some more roundings


def backward(network: nn.Module, images: Tensor, **precision: bool) -> list[Tensor]:
    with torch.autocast("cpu", torch.bfloat16, **precision), speeding_up_small_maps(CPU):
        loss = network(images).float().square().mean()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_a_resnet_gets_the_same_gradients_with_it() -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=3).to(memory_format=torch.channels_last).double()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    loss = network(images).square().mean()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    for found, wanted in zip(backward(network, images, enabled=False), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_resnet_in_mixed_precision_gets_gradients_of_full_precision() -> None:
    images = torch.randn(4, 3, 32, 32)
    gradients = backward(resnet18(num_classes=3), images, enabled=True)
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ("convolution", "side", "taken"),
    [
        (nn.Conv2d(4, 5, 3, padding=1, bias=False), 4, True),
        (nn.Conv2d(4, 5, 3, stride=2, padding=1, bias=False), 8, True),
        (nn.Conv2d(4, 5, 3, padding=1, bias=False), 5, False),
        (nn.Conv2d(4, 5, 3, padding=1), 4, False),
        (nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=2), 4, False),
        (nn.Conv2d(4, 4, 3, padding=2, bias=False, dilation=2), 4, False),
        (nn.Conv2d(4, 4, 3, padding="same", bias=False), 4, False),
        (nn.Conv2d(4, 4, (3, 1), padding=(1, 0), bias=False), 4, False),
    ],
)
def test_it_takes_small_and_plain_convolutions_alone(
    convolution: nn.Conv2d, side: int, taken: bool
) -> None:
    with speeding_up_small_maps(CPU):
        out = convolution(torch.zeros(2, 4, side, side))
    assert ("SmallConvolution" in type(out.grad_fn).__name__) == taken
