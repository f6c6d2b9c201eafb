"""Tell what a file is by its first bytes, whatever its suffix says."""

from importlib.util import find_spec

HEAD_BYTES = 64  # what the formats below are told by
FORMATS = {  # suffixes of files that claim to be images, and their format's name in Pillow
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # with offsets of 64 bits
    b"MM\0+": "TIFF",
}
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes, of the versions of its second header
AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
HEIC = "HEIF"  # its name in Pillow, once pillow-heif has registered it
HEIC_PACKAGE = "pillow-heif"
HTML = ("<!doctype html", "<html")


def find_format(head: bytes) -> str | None:
    """Return the name that Pillow has for the format of a file's first bytes, if they are one."""
    for signature, format_ in SIGNATURES.items():
        if head.startswith(signature):
            return format_
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] in (b"P5", b"P6") and head[2:3].isspace():
        return "PPM"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    return _find_brand(head) if head[4:8] == b"ftyp" else None


def is_html(head: bytes) -> bool:
    """Tell whether bytes open a page, such as a server sends in place of a file."""
    return head.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip().lower().startswith(HTML)


def can_read_heic() -> bool:
    return find_spec("pillow_heif") is not None


def _find_brand(head: bytes) -> str | None:
    """Tell AVIF from HEIC: both are ISO base media files, with brands from byte 8 on."""
    end = int.from_bytes(head[:4], "big")
    brands = {head[place : place + 4] for place in range(8, min(end, len(head)), 4)}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return HEIC if brands & HEIC_BRANDS else None
