"""A miniature of CIFAR-10's official archive: six pickled batches."""

import pickle
from pathlib import Path

import numpy as np

from tests.vision.data.pictures import write_tar_gz
from vision.data.cifar10 import TEST_BATCH, TRAIN_BATCHES

BATCH_IMAGES = 4
NAMES = [*TRAIN_BATCHES, TEST_BATCH]


def pickle_batch(number: int) -> bytes:
    """Pickle 4 images whose red, green and blue are `number`, 100 + number, 200 + number."""
    colours = np.repeat(np.array([number, 100 + number, 200 + number], np.uint8), 1024)
    labels = [(number + image) % 10 for image in range(BATCH_IMAGES)]
    batch = {"data": np.tile(colours, (BATCH_IMAGES, 1)), "labels": labels}
    batch["filenames"] = [
        f"data_batch_{number + 1}_s_{image:06}.png" for image in range(BATCH_IMAGES)
    ]
    return pickle.dumps(batch, protocol=2)


def pickle_as_python_2(data: bytes, labels: bytes) -> bytes:
    """Write by hand, opcode by opcode, what cPickle wrote in 2009 for rows of 3,072 bytes."""
    rows = len(data) // 3072
    return (
        b"\x80\x02}(U\x04data"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K" + bytes([rows]) + b"M\x00\x0c\x86"  # version 1 and shape (rows, 3072)
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"  # align 0 and copy 1 for False and True
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(data).to_bytes(4, "little") + data + b"tb"
        b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu."
    )


def write_official(path: Path, names: list[str] = NAMES) -> Path:
    """Write the batches, in another order than they are numbered in, as the real archive does."""
    files = {name: pickle_batch(NAMES.index(name)) for name in reversed(names)}
    return write_tar_gz(path, {"cifar-10-batches-py/readme.html": b"", **files})
