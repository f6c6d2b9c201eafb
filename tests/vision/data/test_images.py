import io

import numpy as np
import pytest
from PIL import Image

from tests.vision.data.pictures import RED, encode, paint
from vision.base.errors import ImageError
from vision.data import images
from vision.data.images import decode_image, fit_square


def centre(content: bytes, name: str) -> list[int]:
    """Return the red, green and blue of the middle of the decoded square of 8 pixels."""
    pixels = decode_image(content, name, image_px=8)
    assert pixels.shape == (8, 8, 3)
    return [int(value) for value in pixels[4, 4]]


@pytest.mark.parametrize(
    ("name", "format_"),
    [("a.png", "PNG"), ("a.BMP", "BMP"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")],
)
def test_each_format_is_decoded_to_rgb(name: str, format_: str) -> None:
    found = centre(encode(paint("red"), format_), name)
    assert np.abs(np.array(found) - [255, 0, 0]).max() <= 3  # JPEG and WebP lose a little


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (paint(77, mode="L"), [77, 77, 77]),
        (paint(1, mode="1"), [255, 255, 255]),
        (paint("blue").convert("P"), [0, 0, 255]),
        (paint((77, 255), mode="LA"), [77, 77, 77]),
        (paint((255, 0, 0, 0), mode="RGBA"), [255, 255, 255]),  # transparent: white shows
        (paint((0, 0, 0, 51), mode="RGBA"), [204, 204, 204]),  # a fifth of black on white
        (Image.fromarray(np.full((8, 8), 77 * 256, np.uint16)), [77, 77, 77]),
    ],
    ids=["grey", "bits", "palette", "grey-alpha", "transparent", "half-transparent", "16-bit"],
)
def test_each_mode_becomes_rgb(image: Image.Image, expected: list[int]) -> None:
    assert centre(encode(image), "a.png") == expected


def test_cmyk_becomes_rgb() -> None:
    content = encode(paint((0, 255, 255, 0), mode="CMYK"), "JPEG", quality=95)
    assert np.abs(np.array(centre(content, "a.jpg")) - [255, 0, 0]).max() <= 5


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = paint("blue").convert("P")
    content = encode(image, transparency=image.getpixel((0, 0)))
    assert centre(content, "a.png") == [255, 255, 255]


def test_exif_orientation_is_applied() -> None:
    image = paint("red", (16, 8))
    image.paste("blue", (8, 0, 16, 8))  # the right half
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn right by 90 degrees
    upright = decode_image(encode(image, exif=exif), "a.png", image_px=8)
    top, bottom = upright[0, 4], upright[-1, 4]
    assert (top.tolist(), bottom.tolist()) == ([255, 0, 0], [0, 0, 255])


def test_the_centre_is_kept_and_the_sides_are_cropped() -> None:
    image = paint("red", (24, 8))
    image.paste("blue", (8, 0, 16, 8))
    assert (fit_square(image, 8) == (0, 0, 255)).all()


def test_shrinking_averages_pixels() -> None:
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (64, 32)))  # 64 x 64
    assert np.abs(fit_square(stripes.convert("RGB"), 8).astype(int)[2:-2, 2:-2] - 127.5).max() < 3


def test_the_suffix_must_say_what_the_file_is() -> None:
    with pytest.raises(ImageError, match=r"cats/a\.jpg cannot be read as JPEG"):
        decode_image(RED, "cats/a.jpg", image_px=8)


@pytest.mark.parametrize(
    "damage",
    [b"", b"not an image", RED[:50], RED[:30] + b"\xff" * 40],
    ids=["empty", "text", "cut", "garbled"],
)
def test_a_damaged_file_is_named(damage: bytes) -> None:
    with pytest.raises(ImageError, match=r"cats/a\.png cannot be read as PNG"):
        decode_image(damage, "cats/a.png", image_px=8)


def test_a_jpeg_cut_short_is_an_error() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageError, match="truncated"):
        decode_image(content[: len(content) // 2], "a.jpg", image_px=8)


def test_too_many_pixels_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 63)
    with pytest.raises(ImageError, match=r"a\.png has more than 63 pixels"):
        decode_image(RED, "a.png", image_px=8)


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded() -> None:
    header = encode(paint(0, (1, 1), mode="L"), "BMP")
    huge = header[:18] + (60_000).to_bytes(4, "little") * 2 + header[26:]  # width and height
    with pytest.raises(ImageError, match=r"a\.bmp"):
        decode_image(io.BytesIO(huge).getvalue(), "a.bmp", image_px=8)
