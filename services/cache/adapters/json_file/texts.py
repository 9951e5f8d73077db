r"""Keys and values as JSON that people can read, and back to the same bytes.

A key is text; a backslash is doubled, and a byte that is no UTF-8 becomes ``\xNN``. A value is ``{"json": [...]}`` if
each of its lines is JSON as it would be written again, else ``{"text": "..."}`` if it is UTF-8, else
``{"base64": "..."}``.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Any

import orjson

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-f]{2})")


def to_text(key: bytes) -> str:
    """Returns a key as text."""
    return key.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def to_key(text: str) -> bytes:
    """Returns the key that :func:`to_text` was given.

    Raises:
        ValueError: If the text is none of its.
    """
    return _ESCAPE.sub(lambda found: _escaped(found[1]), text.encode())


def to_json(value: bytes) -> dict[str, Any]:
    """Returns a value as JSON."""
    try:
        lines = [orjson.loads(line) for line in value.split(b"\n")]
        if b"\n".join(map(orjson.dumps, lines)) == value:
            return {"json": lines}
    except ValueError:
        pass
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def to_value(found: dict[str, Any]) -> bytes:
    """Returns the value that :func:`to_json` was given.

    Raises:
        ValueError: If it is none of its.
    """
    match found:
        case {"json": list(lines)}:
            return b"\n".join(map(orjson.dumps, lines))
        case {"text": str(text)}:
            return text.encode()
        case {"base64": str(text)}:
            return b64decode(text, validate=True)
    raise ValueError("a record must be json, text or base64")


def _escaped(code: bytes) -> bytes:
    return b"\\" if code == b"\\" else bytes([int(code[1:], 16)])
