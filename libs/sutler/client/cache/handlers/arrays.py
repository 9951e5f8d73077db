"""The handler of numpy arrays."""

from __future__ import annotations

import re
from io import BytesIO
from sys import modules
from threading import Lock
from typing import Any

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded

MAX_HEADER_BYTES = 16384
PLAIN = re.compile(
    rb"\x93NUMPY\x01\0(?s:(..))\{'descr': '([^'\\]+)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n"
)
Header = tuple[tuple[int, ...], bool, Any, int]

_reading = Lock()
"""Held while numpy reads a header with ``ast``, which in CPython 3.11 fails now and then when two threads use it:
https://github.com/python/cpython/issues/106905"""


class NumpyHandler(CacheHandler):
    """Arrays without objects, in the format of ``.npy`` files; what is read shares the memory of its bytes."""

    data_type = "numpy"
    content_type = "application/x-npy"

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        numpy = modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray:
            return False
        kind = value.dtype  # type: ignore[attr-defined]
        return not kind.hasobject and kind.char != "T" and kind.itemsize > 0

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        import numpy as np

        file = BytesIO()
        np.lib.format.write_array(file, value, allow_pickle=False)
        return Encoded((file.getbuffer(),), {"dtype": str(value.dtype), "shape": list(value.shape)})

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        import numpy as np

        found = _plain_header(data) or _header(data)
        if found is None:  # names of fields beyond Latin-1
            with _reading:
                return np.lib.format.read_array(BytesIO(data), allow_pickle=False)
        shape, fortran, kind, start = found
        if kind.hasobject:
            raise ValueError("the array holds objects")
        array = np.frombuffer(data, kind, offset=start).reshape(shape, order="F" if fortran else "C")
        array.flags.writeable = False
        return array

    def copy(self, value: Any) -> Any:
        """See the base class."""
        return value.copy(order="K")


def _plain_header(data: Buffer) -> Header | None:
    """Returns what the header of an array without fields says, and where it ends; None if it is another one."""
    import numpy as np

    found = PLAIN.match(data)
    if found is None or found.end() != 10 + int.from_bytes(found[1], "little"):
        return None
    shape = tuple(int(size) for size in found[4].split(b",") if size.strip())
    return shape, found[3] == b"True", np.dtype(found[2].decode()), found.end()


def _header(data: Buffer) -> Header | None:
    """Returns what a header says, and where it ends; None if it is of a version that is read only with its array."""
    import numpy as np

    file = BytesIO(bytes(memoryview(data)[:MAX_HEADER_BYTES]))
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    reader = readers.get(np.lib.format.read_magic(file))
    if reader is None:
        return None
    with _reading:
        return *reader(file), file.tell()
