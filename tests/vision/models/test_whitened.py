"""The network whose first layer whitens patches of the images."""

import pytest
import torch
from torch.nn import functional

from vision.models.networks import count_parameters
from vision.models.whitened import WhitenedCNN, begin_as_identity, whiten_patches


def make_images(count: int) -> torch.Tensor:
    """Return smooth images, whose neighbouring pixels are alike: (B, 3, 16, 16)."""
    noise = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    grey = noise.mean(1, keepdim=True)
    return functional.avg_pool2d(noise + 3 * grey, 3, stride=1, padding=1)


def test_the_published_network_has_the_weights_of_its_layers() -> None:
    model = WhitenedCNN(10, 32, [64, 256, 256])
    blocks = [(24, 64), (64, 256), (256, 256)]
    filters = sum(9 * (n_in + n_out) * n_out for n_in, n_out in blocks)
    biases, head = 2 * (64 + 256 + 256), 10 * 256
    assert count_parameters(model, trainable=True) == 24 + filters + biases + head
    assert count_parameters(model) == 24 * 12 + 24 + filters + 2 * biases + head


@pytest.mark.parametrize("px", [8, 9, 17, 32, 40])
@pytest.mark.parametrize("convolutions", [2, 3])
def test_images_of_any_side_become_a_score_for_each_class(px: int, convolutions: int) -> None:
    model = WhitenedCNN(3, px, [4, 6, 5], convolutions)
    assert model(torch.zeros(2, 3, px, px)).shape == (2, 3)


def test_the_first_filters_begin_by_handing_on_what_comes_in() -> None:
    images = make_images(2)
    assert torch.equal(begin_as_identity(3, 5)(images)[:, :3], images)
    assert torch.equal(begin_as_identity(3, 2)(images), images[:, :2])


def test_logits_are_divided_by_the_width_of_the_last_layer() -> None:
    model = WhitenedCNN(2, 16, [4, 4, 8]).eval()
    found: list[torch.Tensor] = []
    model.head.register_forward_hook(lambda _, __, out: found.append(out))
    logits = model(make_images(3))
    assert torch.equal(logits, found[0] / 8)


def test_a_third_convolution_has_a_way_around_it() -> None:
    """Where what it adds is nothing, a block gives what its first convolution gave."""
    block = WhitenedCNN(2, 16, [4, 4, 8], convolutions=3).blocks[0].eval()
    with torch.no_grad():
        for weight in block.rest.parameters():
            weight.zero_()
    x = torch.randn(2, 24, 6, 6)
    assert torch.equal(block(x), functional.gelu(block.enter(x)))


def test_whitened_patches_are_uncorrelated_and_alike_in_size() -> None:
    images = 10 * make_images(200)  # so that what is added to a variance is little
    filters = whiten_patches([images])
    out = functional.conv2d(images, filters[:12]).transpose(0, 1).flatten(1)  # (12, patches)
    moments = out @ out.T / out.shape[1]
    assert torch.allclose(moments, torch.eye(12), atol=0.02)
    assert torch.equal(filters[12:], -filters[:12])


def test_the_filters_do_not_depend_on_how_the_images_come() -> None:
    images = make_images(50)
    parts = whiten_patches([images[:7], images[7:]])
    assert torch.allclose(parts, whiten_patches([images]), atol=1e-4)


def test_images_of_one_colour_give_finite_filters() -> None:
    assert whiten_patches([torch.zeros(2, 3, 8, 8)]).isfinite().all()
