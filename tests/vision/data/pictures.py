"""Small image files and archives of them, for the tests of image sources."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def encode(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def paint(colour: object = "red", size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


RED, BLUE = encode(paint("red")), encode(paint("blue"))


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_tar_gz(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def encode_deep_png(values: np.ndarray) -> bytes:
    """Write (H, W, C) uint16 as a PNG of 16 bits, C from 1 to 4, which Pillow cannot."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def encode_deep_tiff(values: np.ndarray, order: str, packed: bool) -> bytes:
    """Write (H, W, 3) uint16 as a TIFF of 16 bits, in the byte order `<` or `>`."""
    height, width, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    n_tags, depths = 10, struct.pack(f"{order}3H", 16, 16, 16)
    after = 8 + 2 + 12 * n_tags + 4
    compression = 8 if packed else 1  # deflate
    tags = {256: width, 257: height, 258: after, 259: compression, 262: 2, 273: after + 6}
    tags |= {277: channels, 278: height, 279: len(data), 284: 1}
    content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, n_tags)
    for tag, value in tags.items():
        count = channels if tag == 258 else 1
        content += struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, count, value)
    return content + struct.pack(f"{order}I", 0) + depths + data
