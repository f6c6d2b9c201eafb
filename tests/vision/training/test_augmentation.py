from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import make_image_set
from vision.base.errors import ParamsError
from vision.base.sections import check_section
from vision.schema.recipes import AugmentParams
from vision.training.augmentation import Augmenter, crop

GREY = (0.5, 0.5, 0.5)
PLAIN: dict[str, Any] = {}


def ramp(width: int) -> torch.Tensor:
    """One image whose pixels hold their column: (1, 3, width, 3)."""
    return torch.arange(width, dtype=torch.uint8).view(1, 1, width, 1).expand(1, 3, width, 3)


def augment(images: Tensor, seed: int = 0, epoch: int = 1, **params: Any) -> Tensor:
    """Return the images as the first batch of an epoch would have them."""
    generator = torch.Generator().manual_seed(seed)
    augmenter = Augmenter(AugmentParams.model_validate(params), len(images), generator)
    draws = augmenter.draw(torch.arange(len(images)), epoch, images.shape[1])
    return augmenter.apply(images, draws, GREY, images.shape[1])


def test_nothing_asked_for_leaves_images_as_they_are() -> None:
    images = torch.from_numpy(make_image_set(4).images)
    assert torch.equal(augment(images), images)


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    first = augment(ramp(5).repeat(400, 1, 1, 1), flip=True)[:, 0, 0, 0]
    assert set(first.tolist()) == {0, 4}
    assert 160 < int((first == 4).sum()) < 240  # binomial(400, 1/2): 4 standard deviations


def test_an_alternate_flip_mirrors_each_image_in_every_other_epoch() -> None:
    images = ramp(5).repeat(400, 1, 1, 1)
    odd, even, third = (
        augment(images, epoch=epoch, flip=True, alternate_flip=True)[:, 0, 0, 0] == 4
        for epoch in (1, 2, 3)
    )
    assert torch.equal(odd, ~even)
    assert torch.equal(odd, third)
    assert 160 < int(odd.sum()) < 240


def test_a_crop_shifts_by_at_most_the_padding_and_reflects_at_the_border() -> None:
    crops = augment(ramp(6).repeat(300, 1, 1, 1), crop_padding_px=2)
    assert {tuple(row) for row in crops[:, 0, :, 0].tolist()} == {
        (2, 1, 0, 1, 2, 3),
        (1, 0, 1, 2, 3, 4),
        (0, 1, 2, 3, 4, 5),
        (1, 2, 3, 4, 5, 4),
        (2, 3, 4, 5, 4, 3),
    }


def test_a_cutout_fills_a_square_with_the_mean_colour() -> None:
    images = torch.zeros(200, 8, 8, 3, dtype=torch.uint8)
    holes = augment(images, cutout_px=4)[..., 0]
    assert set(holes.unique().tolist()) == {0, 128}  # 0.5 * 255, rounded
    sizes = (holes > 0).sum((1, 2))
    assert int(sizes.max()) == 16  # wholly inside
    assert int(sizes.min()) == 4  # centred on a corner: two rows and two columns are left


def test_the_same_generator_state_gives_the_same_images() -> None:
    images = torch.from_numpy(make_image_set(4).images)
    options = {"crop_padding_px": 2, "flip": True, "cutout_px": 2}
    assert torch.equal(augment(images, seed=3, **options), augment(images, seed=3, **options))


def test_a_share_of_the_draws_gives_a_share_of_the_images() -> None:
    images = torch.from_numpy(make_image_set(4).images)
    params = AugmentParams(crop_padding_px=2, flip=True, cutout_px=3)
    augmenter = Augmenter(params, len(images), torch.Generator().manual_seed(0))
    draws, share = augmenter.draw(torch.arange(len(images)), 1, 8), slice(3, 7)
    whole = augmenter.apply(images, draws, GREY, 8)
    assert torch.equal(augmenter.apply(images[share], draws.take(share), GREY, 8), whole[share])


def test_an_alternate_flip_needs_a_flip() -> None:
    with pytest.raises(ParamsError, match="alternate_flip needs flip: true"):
        check_section("r", {"alternate_flip": True}, AugmentParams)


def test_a_random_crop_is_a_part_of_the_image_at_the_size_asked_for() -> None:
    images = ramp(60)[:, :1].expand(200, 60, 60, 3).contiguous()
    params = AugmentParams(crop_scale=0.25)
    augmenter = Augmenter(params, len(images), torch.Generator().manual_seed(0))
    crops = augmenter.apply(images, augmenter.draw(torch.arange(200), 1, 60), GREY, 20)
    assert crops.shape == (200, 20, 20, 3)
    rows = crops[:, 10, :, 0].int()
    assert (rows.diff(dim=1) >= 0).all()  # neither mirrored nor torn
    widths = (rows[:, -1] - rows[:, 0]) / 60 * 20 / 19
    assert widths.min() > (0.25 * 3 / 4) ** 0.5 - 0.05
    assert widths.max() > 0.9
    assert widths.unique().numel() > 20


def test_a_crop_of_all_is_the_image_resized() -> None:
    images = ramp(64)[:, :1].expand(1, 64, 64, 3).contiguous()
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0])[:, None, None]
    found = crop(images, whole, 32)[0, 5, :, 0].float()
    assert torch.equal(found, (2 * torch.arange(32) + 0.5).round())


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_each_image_is_changed_by_a_seed_of_its_own(name: Any) -> None:
    images = torch.from_numpy(make_image_set(2).images)[:1].repeat(40, 1, 1, 1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    changed = augment(images, auto_augment=name)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(changed, augment(images, auto_augment=name))
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 5


def test_a_rectangle_is_erased_in_the_share_of_images_that_is_asked_for() -> None:
    images = torch.zeros(400, 30, 30, 3, dtype=torch.uint8)
    shares = (augment(images, erase=0.3)[..., 0] == 128).float().mean((1, 2))
    assert 80 < int((shares > 0).sum()) < 160  # binomial(400, 0.3): 4 standard deviations
    assert shares[shares > 0].min() > 0.005
    assert shares.max() < 0.37


def test_mixed_images_keep_the_greater_part_of_themselves() -> None:
    x = torch.zeros(4, 3, 10, 10)
    augmenter = Augmenter(AugmentParams(mixup=0.4, cutmix=1), 4, torch.Generator().manual_seed(0))
    kinds = set()
    for _ in range(40):
        mix = augmenter.draw_mix()
        assert mix
        mixed, share = mix.apply(x, x + 1)
        kinds.add(mix.box is None)
        assert share >= 0.5
        assert torch.allclose(1 - mixed.mean(), torch.tensor(share), atol=1e-6)
        assert set(mixed.unique().tolist()) <= {0, 1} or mix.box is None
    assert kinds == {True, False}


def test_each_image_is_mixed_with_the_one_before_it_as_that_was_changed() -> None:
    params = AugmentParams(flip=True, erase=0.5, crop_scale=0.5)
    augmenter = Augmenter(params, 6, torch.Generator().manual_seed(0))
    images = torch.from_numpy(make_image_set(2).images)
    draws = augmenter.draw(torch.arange(6), 1, 8)
    whole = augmenter.apply(images, draws, GREY, 8)
    assert torch.equal(augmenter.apply(images.roll(1, 0), draws.roll(), GREY, 8), whole.roll(1, 0))
