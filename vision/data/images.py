"""Turn image files of any size, mode and orientation into RGB squares."""

from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from vision.base.errors import ImageError

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
MAX_PIXELS = 64 * 10**6  # larger pictures are scans or bombs; Pillow warns from 89 million on


def decode_image(content: bytes, name: str, image_px: int) -> np.ndarray:
    """Decode a file, upright, and return its central square: (P, P, 3) uint8.

    Args:
        name: of the file, whose suffix must say what the file is.

    Raises:
        ImageError: the file is damaged, too large, or not what its suffix says.
    """
    format_ = FORMATS[PurePosixPath(name).suffix.lower()]
    try:
        with Image.open(BytesIO(content), formats=[format_]) as image:
            if image.width * image.height <= MAX_PIXELS:
                image.draft(None, (2 * image_px, 2 * image_px))  # JPEG: decode at 1/2, 1/4, 1/8
                return fit_square(to_rgb(ImageOps.exif_transpose(image)), image_px)
    except Exception as error:  # Pillow's decoders let anything escape from damaged bytes
        raise ImageError(
            f"{name} cannot be read as {format_} ({error}): remove it, mend it or convert it"
        ) from None
    raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels: make it smaller or remove it")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, transparency composited on white."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def fit_square(image: Image.Image, image_px: int) -> np.ndarray:
    """Resize the shorter side, antialiased, and crop the centre: (P, P, 3) uint8."""
    return np.asarray(ImageOps.fit(image, (image_px, image_px), Image.Resampling.BICUBIC))
