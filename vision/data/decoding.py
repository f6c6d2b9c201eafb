"""Decode the files of a folder or archive side by side, a few at a time."""

import hashlib
import signal
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

from vision.base.death_signal import end_with_parent
from vision.base.errors import ImageError
from vision.base.processor import count_cores
from vision.data.images import FULL_BITS, Picture, read_picture
from vision.data.sharding import digest_pixels
from vision.data.shards import CROP

CHUNK = 64  # files, at most, that are decoded in one go
CHUNK_BYTES = 8 * 2**20  # a chunk ends with the file that reaches so many
AHEAD = 2  # chunks in memory, for each processor
SMALL_BYTES = 32 * 2**10  # files below decode faster than they are handed to another thread
MANY = 20_000  # small files, for which it pays to start processes

Chunk = list[tuple[int, bytes]]  # row and content of files


class Decoded(NamedTuple):
    """What became of a row's file."""

    row: int
    picture: Picture | None = None  # none, where it cannot be read
    digest: bytes = b""  # of its pixels
    md5: bytes = b""  # of the file, where there is one
    fault: str = ""  # why it cannot be read


def decode_files(
    files: Iterator[tuple[str, bytes]],
    rows: Mapping[str, int],
    image_px: int,
    bits: int = FULL_BITS,
    fit: str = CROP,
) -> Iterator[Decoded]:
    """Yield what becomes of each file, in any order: on all processors, where it is worth it.

    Args:
        files: name and content; a few are read ahead.
        rows: of their names.
        bits: that hold the values of images with more than 8 bits.
        fit: see `fit_square`.

    Raises:
        MemoryError: the system has ended a process that decoded.
    """
    decode = partial(decode_chunk, image_px=image_px, bits=bits, fit=fit)
    count, many = count_cores(), len(rows) >= MANY
    pools: dict[bool, Executor] = {}  # for small files, for others: made when there are some
    waiting: deque[Future[list[Decoded]]] = deque()
    try:
        while chunk := _take_chunk(files, rows):
            if (small := _is_small(chunk)) and not many:
                yield from decode(chunk)
                continue
            if small not in pools:
                pools[small] = _start_processes(count) if small else ThreadPoolExecutor(count)
            waiting.append(pools[small].submit(decode, chunk))
            if len(waiting) > AHEAD * count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise MemoryError("a process that decoded images was ended") from None
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def decode_chunk(chunk: Chunk, image_px: int, bits: int, fit: str) -> list[Decoded]:
    return [_decode(row, content, image_px, bits, fit) for row, content in chunk]


def make_decoded(row: int, picture: Picture, content: bytes = b"") -> Decoded:
    md5 = hashlib.md5(content, usedforsecurity=False).digest() if content else b""
    return Decoded(row, picture, digest_pixels(picture.pixels), md5)


def _start_processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, get_context("spawn"), _begin)


def _begin() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _decode(row: int, content: bytes, image_px: int, bits: int, fit: str) -> Decoded:
    try:
        return make_decoded(row, read_picture(content, image_px, bits, fit), content)
    except ImageError as error:
        return Decoded(row, fault=str(error))


def _take_chunk(files: Iterator[tuple[str, bytes]], rows: Mapping[str, int]) -> Chunk:
    chunk: Chunk = []
    n_bytes = 0
    while len(chunk) < CHUNK and n_bytes < CHUNK_BYTES and (file := next(files, None)):
        chunk.append((rows[file[0]], file[1]))
        n_bytes += len(file[1])
    return chunk


def _is_small(chunk: Collection[tuple[int, bytes]]) -> bool:
    return sum(len(content) for _, content in chunk) <= len(chunk) * SMALL_BYTES
