"""The handler of numpy arrays."""

from __future__ import annotations

from io import BytesIO
from sys import modules
from typing import Any

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded

MAX_HEADER_BYTES = 16384


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

        file = BytesIO(bytes(memoryview(data)[:MAX_HEADER_BYTES]))
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        reader = readers.get(np.lib.format.read_magic(file))
        if reader is None:  # names of fields beyond Latin-1
            return np.lib.format.read_array(BytesIO(data), allow_pickle=False)
        shape, fortran, kind = reader(file)
        if kind.hasobject:
            raise ValueError("the array holds objects")
        array = np.frombuffer(data, kind, offset=file.tell()).reshape(shape, order="F" if fortran else "C")
        array.flags.writeable = False
        return array

    def copy(self, value: Any) -> Any:
        """See the base class."""
        return value.copy(order="K")
