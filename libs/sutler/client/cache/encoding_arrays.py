"""Arrays of numpy as bytes for keys: by data type, shape and elements, whatever their layout in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from sutler.client.cache.encoding import Sink, Unencodable, write, write_buffer, write_items, write_named


def write_numpy(value: Any, sink: Sink) -> None:
    """Writes an array, a scalar or a data type.

    Raises:
        Unencodable: If it is anything else of numpy, also an array with a mask.
    """
    if type(value) is np.ndarray:
        sink.append(b"A")
        write_array(value, sink)
    elif isinstance(value, np.generic):
        write_named(b"N", type(value), sink)
        write_array(np.asarray(value), sink)
    elif isinstance(value, np.dtype):
        sink.append(b"Y")
        write(_described(value), sink)
    else:
        raise Unencodable(value)


def write_array(array: Any, sink: Sink) -> None:
    """Writes the data type, the shape and the elements of an array.

    A NaN counts as an element; those of other bits as another one.
    """
    kind = array.dtype
    write((_described(kind), array.shape), sink)
    if kind.names is not None:  # field by field: what lies between them is no value
        for name in kind.names:
            write_array(array[name], sink)
    elif kind.hasobject or kind.char == "T":
        write_items(b"[", array.ravel().tolist(), array.size, sink)
    elif kind.char in "gG":  # only some of the bits of a long double are its value
        write_items(b"[", map(str, array.ravel()), array.size, sink)
    elif kind.itemsize:
        write_buffer(b"b", np.ascontiguousarray(array).reshape(-1).view(np.uint8), sink)


def _described(kind: Any) -> Any:
    return str(kind) if kind.char == "T" else np.lib.format.dtype_to_descr(kind)
