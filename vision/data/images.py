"""Turn image files of any format, size, mode and orientation into RGB squares."""

import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps

from vision.base.errors import ImageError
from vision.data.formats import HEAD_BYTES, HEIC, find_format, is_html
from vision.data.shards import CROP

MAX_PIXELS = 64 * 10**6  # decoded as they are; Pillow warns from 89 million on
MAX_LARGE_PIXELS = 192 * 10**6  # decoded one at a time and reduced at once: under 2 GB
LETTERBOX = "letterbox"
FULL_BITS = 16  # of a pixel that has more than 8
FULL_PEAK = 2 ** (FULL_BITS - 1) - 1  # a larger value needs all of them
ORIENTATION = 0x0112  # the tag of EXIF
TURNS = {  # from what EXIF says to what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# How Pillow is told to read 16 bits of colour, of which it keeps the upper 8; and the lower ones.
LOWER = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B" if sys.byteorder == "little" else "RGBA;16L",
    "LA;16B": "RGBA",  # four bytes, of which the second is the lower one of grey
}
REDUCIBLE = {"L", "LA", "RGB", "RGBA", "CMYK"}
_one_at_a_time = threading.Lock()


class Picture(NamedTuple):
    """A picture as it is stored, and what its file was."""

    pixels: np.ndarray  # (P, P, 3) uint8
    size_px: tuple[int, int]  # width and height of the original
    peak: int = 0  # largest value, where a pixel has more than 8 bits; else 0


def decode_image(
    content: bytes, name: str, image_px: int, bits: int = FULL_BITS, fit: str = CROP
) -> np.ndarray:
    """Decode a file, upright, and return it as a square: (P, P, 3) uint8.

    Args:
        name: of the file, for messages; its format is told by its content.
        bits: of which the upper 8 are kept, where a pixel has more than 8.

    Raises:
        ImageError: the file is empty, damaged, too large, or no image.
    """
    try:
        return read_picture(content, image_px, bits, fit).pixels
    except ImageError as error:
        raise ImageError(f"{name} cannot be read ({error}): remove it or mend it") from None


def read_picture(content: bytes, image_px: int, bits: int = FULL_BITS, fit: str = CROP) -> Picture:
    """Decode a file, upright, as a square.

    Args:
        bits: of which the upper 8 are kept, where a pixel has more than 8.
        fit: CROP or LETTERBOX, see `fit_square`.

    Raises:
        ImageError: why the file cannot be read, in a few words, without its name.
    """
    format_ = find_format(content[:HEAD_BYTES])
    if not format_:
        raise ImageError(_describe_other(content))
    try:
        with _open(content, format_) as image:
            size_px, large = image.size, _set_draft(image, image_px)
            with _one_at_a_time if large else nullcontext():
                raw_mode = _find_raw_mode(image)  # known until the pixels are read
                upright, peak = _to_8_bits(turn_upright(image), bits)
                if raw_mode in LOWER:
                    lower = partial(_read_lower, content, format_, raw_mode)
                    upright, peak = _join_bytes(upright, lower, bits)
                upright = _reduce(upright, image_px) if large else upright
                return Picture(fit_square(to_rgb(upright), image_px, fit), size_px, peak)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders let anything escape from damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged {format_}: {reason}") from None


def read_side_px(content: bytes) -> int | None:
    """Return the shorter side of a picture, or None if even that cannot be read."""
    try:
        with _open(content, str(find_format(content[:HEAD_BYTES]))) as image:
            return min(image.size)
    except Exception:  # as from the decoders
        return None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode of 8 bits to RGB, transparency composited on white."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def turn_upright(image: Image.Image) -> Image.Image:
    """Turn or mirror a picture as its EXIF says; EXIF that cannot be read says nothing."""
    image.load()  # at the size of the draft; a TIFF is upright then
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # as from the decoders
        return image
    return image if turn is None else image.transpose(turn)


def fit_square(image: Image.Image, image_px: int, fit: str = CROP) -> np.ndarray:
    """Resize, antialiased, to a square: (P, P, 3) uint8.

    Args:
        fit: CROP: the shorter side is resized, and the centre cropped; LETTERBOX: the longer side
            is, and black bars fill the rest.
    """
    size, way = (image_px, image_px), Image.Resampling.BICUBIC
    if fit == LETTERBOX:
        return np.asarray(ImageOps.pad(image, size, way, color="black"))
    return np.asarray(ImageOps.fit(image, size, way))


def count_bits(peak: int) -> int:
    """Return the fewest bits, 8 or more, that hold a value."""
    return max(8, peak.bit_length())


def _open(content: bytes, format_: str) -> ImageFile.ImageFile:
    """Open a file of a known format.

    Image.open would refuse 179 million pixels and more, also where a JPEG is decoded at an eighth
    of its size; the limit is a global of Pillow. `_is_large` has limits of its own.
    """
    if format_ == HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    if format_ not in Image.OPEN:
        raise ImageError(f"this build of Pillow cannot read {format_}")
    factory = Image.OPEN[format_][0]
    return factory(BytesIO(content), "")


def _set_draft(image: ImageFile.ImageFile, image_px: int) -> bool:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8, and tell whether a picture is still large.

    Raises:
        ImageError: it has more pixels than memory should hold.
    """
    width, height = image.size
    image.draft(None, (2 * image_px, 2 * image_px))
    progressive = image.info.get("progressive")  # libjpeg holds the whole of such a file
    n_pixels = width * height if progressive else image.width * image.height
    if n_pixels > MAX_LARGE_PIXELS:
        megapixels = MAX_LARGE_PIXELS // 10**6
        raise ImageError(f"{width:,} x {height:,} pixels, over the limit of {megapixels} million")
    return n_pixels > MAX_PIXELS


def _reduce(image: Image.Image, image_px: int) -> Image.Image:
    """Average squares of pixels, so that what follows needs little memory."""
    if image.mode in ("P", "1"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    factor = min(image.size) // (2 * image_px)
    return image.reduce(factor) if factor > 1 and image.mode in REDUCIBLE else image


def _to_8_bits(image: Image.Image, bits: int) -> tuple[Image.Image, int]:
    """Keep the upper 8 bits of a picture that has more, and return its largest value, else 0."""
    if image.mode.startswith("F"):
        raise ImageError("its pixels are fractions: convert it to 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image, 0
    values = np.asarray(image)  # (H, W), of which Pillow would clip all above 255
    upper = (values >> (bits - 8)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(upper), max(1, int(values.max()))


def _find_raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the bytes of a file become a picture, as its plugin tells Pillow's decoder."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _read_lower(content: bytes, format_: str, raw_mode: str) -> Image.Image:
    """Decode a file of 16 bits of colour again, for the lower 8 of each: in the upper's bands."""
    with _open(content, format_) as image:
        for place, tile in enumerate(image.tile):
            args = (LOWER[raw_mode], *tile.args[1:]) if isinstance(tile.args, tuple) else None
            image.tile[place] = tile._replace(args=args or LOWER[raw_mode])
        lower = turn_upright(image)
    return Image.merge("RGB", [lower.getchannel(1)] * 3) if raw_mode == "LA;16B" else lower


def _join_bytes(
    upper: Image.Image, read_lower: Callable[[], Image.Image], bits: int
) -> tuple[Image.Image, int]:
    """Keep the upper 8 of some bits of each colour, and return the largest value; alpha stays."""
    colours, alpha = upper.split()[:3], upper.split()[3:]
    peak, scaled = max(int(np.asarray(band).max()) for band in colours) << 8, []
    if bits == FULL_BITS and peak > FULL_PEAK:
        return upper, peak
    for high, low in zip(colours, read_lower().split(), strict=False):
        values = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)  # (H, W)
        peak = max(peak, 1, int(values.max()))
        scaled.append(Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8)))
    return Image.merge(upper.mode, [*scaled, *alpha]), peak


def _describe_other(content: bytes) -> str:
    if not content:
        return "empty file"
    return "an HTML page, not an image" if is_html(content[:HEAD_BYTES]) else "not an image"
