"""The output files of machines: appended to by the machine itself, bounded by discarding their beginning in place.

A file keeps its offsets: what is discarded becomes a hole (fallocate(2), FALLOC_FL_PUNCH_HOLE), which takes no room on
the disk. So the machine needs nobody to read from it, and an offset counts from its first start for ever.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from sutler.errors import OutOfRange

from services.provider.output import Chunk
from services.provider.templates import Output

DEFAULT_FILE_BYTES = 10 * 1024 * 1024
DEFAULT_FILES = 5
CHUNK_BYTES = 256 * 1024

PUNCH_HOLE = 0x02
KEEP_SIZE = 0x01

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def trim(path: Path, kept: Output) -> None:
    """Discards what is too old, in whole steps; does nothing if there is no file."""
    step = kept.max_file_bytes or DEFAULT_FILE_BYTES
    keep = step * (kept.max_files or DEFAULT_FILES)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    upto = (size - keep) // step * step + step if size > keep else 0
    if upto > oldest(path):
        discard(path, upto)


def discard(path: Path, upto: int) -> None:
    """Frees the room of all bytes before an offset.

    Raises:
        OSError: If the file system cannot do that.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if _libc.fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 0, upto) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def oldest(path: Path) -> int:
    """Returns the offset of the oldest byte that is kept; the size of the file if there is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError:  # ENXIO: no data
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def read(path: Path, offset: int | None, limit: int) -> Iterator[Chunk]:
    """Yields the output that is there now.

    Args:
        path: The file; one that does not exist is empty.
        offset: Where to begin; at the oldest byte if None, from the end if negative.
        limit: The most bytes; all if 0.

    Raises:
        OutOfRange: If the offset is not kept, or after the end (OUTPUT_DISCARDED).
    """
    if not path.exists():
        if offset:
            raise discarded(0, 0)
        return
    first, end = oldest(path), path.stat().st_size
    begin = first if offset is None else max(first, end + offset) if offset < 0 else offset
    if begin < first or begin > end:
        raise discarded(first, end)
    stop = min(end, begin + limit) if limit else end
    with path.open("rb", buffering=0) as file:
        while begin < stop:
            data = os.pread(file.fileno(), min(CHUNK_BYTES, stop - begin), begin)
            if not data:
                return
            yield Chunk(data, begin)
            begin += len(data)


def discarded(first: int, end: int) -> OutOfRange:
    """Returns the error for an offset that is not kept or not written yet."""
    return OutOfRange(
        f"output is kept from offset {first} to {end}",
        reason="OUTPUT_DISCARDED",
        metadata={"oldest": str(first), "end": str(end)},
    )
