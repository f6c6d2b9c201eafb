import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.skips import skip_without
from tests.vision.data.pictures import RED, encode, encode_deep_png, encode_deep_tiff, paint
from vision.base.errors import ImageError
from vision.data import images
from vision.data.formats import HEIC_PACKAGE, can_read_heic
from vision.data.images import LETTERBOX, count_bits, decode_image, fit_square, read_picture


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


@pytest.mark.parametrize("size", [(16, 8), (8, 16)])
def test_a_letterbox_keeps_all_of_an_oblong_image_between_black_bars(size: tuple[int, int]) -> None:
    square = fit_square(paint("red", size), 8, LETTERBOX)
    square = square if size[0] > size[1] else square.swapaxes(0, 1)
    assert (square[2:6] == (255, 0, 0)).all()
    assert (square[[0, 1, 6, 7]] == 0).all()
    assert (fit_square(paint("red", (8, 8)), 8, LETTERBOX) == (255, 0, 0)).all()


def test_shrinking_averages_pixels() -> None:
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (64, 32)))  # 64 x 64
    assert np.abs(fit_square(stripes.convert("RGB"), 8).astype(int)[2:-2, 2:-2] - 127.5).max() < 3


@pytest.mark.parametrize("format_", ["WEBP", "JPEG", "GIF", "TIFF", "AVIF", "PPM", "BMP"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a"])
def test_the_content_says_what_a_file_is_and_not_its_suffix(format_: str, name: str) -> None:
    found = centre(encode(paint("red"), format_), name)
    assert np.abs(np.array(found) - [255, 0, 0]).max() <= 3


def test_of_an_animation_the_first_frame_is_read() -> None:
    content = encode(paint("red"), "GIF", save_all=True, append_images=[paint("blue")])
    assert centre(content, "a.gif") == [255, 0, 0]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"", "empty file"),
        (b"not an image", "not an image"),
        (b"\n<!DOCTYPE html><title>404", "an HTML page, not an image"),
        (RED[:50], "damaged PNG: .*"),
        (RED[:30] + b"\xff" * 40, "damaged PNG: .*"),
    ],
    ids=["empty", "text", "page", "cut", "garbled"],
)
def test_a_damaged_file_is_named_with_its_reason(damage: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"cats/a\.png cannot be read \({reason}\): remove"):
        decode_image(damage, "cats/a.png", image_px=8)


@pytest.mark.parametrize("lost", [20, 2000])
def test_a_jpeg_cut_short_is_an_error(lost: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageError, match="truncated"):
        decode_image(content[:-lost], "a.jpg", image_px=8)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_exif_that_cannot_be_written_again_still_turns_a_picture(format_: str) -> None:
    image = paint("red", (16, 8))
    image.paste("blue", (8, 0, 16, 8))  # the right half
    broken = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)  # two entries, from byte 8 on
    broken += struct.pack("<HHII", 0x0112, 3, 1, 6)  # orientation: turn right by 90 degrees
    broken += struct.pack("<HHII", 0x9204, 10, 1, 38) + bytes(4)  # exposure bias, at byte 38
    broken += struct.pack("<ii", -1, 0)
    upright = decode_image(encode(image, format_, exif=broken), "a", image_px=8)
    assert upright[0, 4, 0] > 200 > 50 > upright[-1, 4, 0]


def test_exif_of_nonsense_is_ignored() -> None:
    assert centre(encode(paint("red"), exif=b"Exif\0\0nonsense"), "a.png") == [255, 0, 0]


def test_a_jpeg_of_108_megapixels_is_read() -> None:
    content = encode(paint("red", (12_000, 9_000)), "JPEG")
    picture = read_picture(content, image_px=8)
    assert picture.size_px == (12_000, 9_000)
    assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("mode", ["RGB", "P", "1", "LA"])
def test_a_large_picture_is_reduced_to_what_it_is(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = paint("white", (200, 100)).convert(mode)
    monkeypatch.setattr(images, "MAX_PIXELS", 200 * 100 - 1)
    assert (decode_image(encode(image), "a.png", image_px=8) == 255).all()


def test_a_large_picture_is_turned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1)
    image = paint("red", (64, 64))
    image.paste("blue", (32, 0, 64, 64))  # the right half
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    assert decode_image(encode(image, exif=exif), "a.png", 8)[4, ::7].tolist() == [
        [0, 0, 255],
        [255, 0, 0],
    ]


def test_too_many_pixels_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_LARGE_PIXELS", 63)
    with pytest.raises(ImageError, match=r"a\.png .*8 x 8 pixels, over the limit"):
        decode_image(RED, "a.png", image_px=8)


@pytest.mark.parametrize(("bits", "expected"), [(16, 15), (12, 255), (8, 255)])
def test_the_upper_8_of_some_bits_are_kept(bits: int, expected: int) -> None:
    content = encode(Image.fromarray(np.full((8, 8), 4095, np.uint16)))
    picture = read_picture(content, 8, bits)
    assert (picture.pixels == expected).all()
    assert picture.peak == 4095


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_are_scaled_as_grey_is(channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, channels), dtype=np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535  # opaque
    colours = values[..., : 1 if channels < 3 else 3]
    picture = read_picture(encode_deep_png(values), 8, bits=12)
    assert (picture.pixels == colours >> 4).all()
    assert picture.peak == colours.max()
    assert (read_picture(encode_deep_png(values), 8).pixels == colours >> 8).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_colours_of_16_bits_are_read_from_tiff(order: str, packed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, 3), dtype=np.uint16)
    picture = read_picture(encode_deep_tiff(values, order, packed), 8, bits=12)
    assert (picture.pixels == values >> 4).all()
    assert picture.peak == values.max()


def test_colours_that_use_all_16_bits_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_read_lower", pytest.fail)
    picture = read_picture(encode_deep_png(np.full((8, 8, 3), 40_000, np.uint16)), 8)
    assert (picture.pixels == 40_000 >> 8).all()
    assert count_bits(picture.peak) == 16


def test_fractions_are_refused() -> None:
    with pytest.raises(ImageError, match="its pixels are fractions"):
        decode_image(encode(paint(0.5, mode="F"), "TIFF"), "a.tiff", 8)


def test_a_photo_in_heic_is_read() -> None:
    if not can_read_heic():
        skip_without(HEIC_PACKAGE, f"pip install {HEIC_PACKAGE}")
    import pillow_heif

    pillow_heif.register_heif_opener()
    found = centre(encode(paint("red", (64, 64)), "HEIF"), "a.heic")
    assert np.abs(np.array(found) - [255, 0, 0]).max() <= 5


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded() -> None:
    header = encode(paint(0, (1, 1), mode="L"), "BMP")
    huge = header[:18] + (60_000).to_bytes(4, "little") * 2 + header[26:]  # width and height
    with pytest.raises(ImageError, match=r"a\.bmp"):
        decode_image(io.BytesIO(huge).getvalue(), "a.bmp", image_px=8)
