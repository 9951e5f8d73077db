"""Etags: short, the same in every process, different after every change (AIP-154)."""

from __future__ import annotations

import orjson
import xxhash

from sutler.errors import etag_mismatch


def make_etag(*parts: str | int | float | bytes | None) -> str:
    """Returns the quoted etag of a version of a thing, such as its uid and revision, or all its values."""
    digest = xxhash.xxh3_64()
    for part in parts:
        raw = part if isinstance(part, bytes) else orjson.dumps(part)
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return f'"{digest.hexdigest()}"'


def check_etag(wanted: str, current: str, resource: str) -> None:
    """Checks the etag that a caller sent; an empty one and ``*`` match everything.

    Args:
        wanted: The etag that was sent.
        current: The present one; empty if there is no such thing any more.
        resource: The name of the thing.

    Raises:
        Conflict: If the thing has changed, or gone, since the caller read it.
    """
    if wanted and wanted != "*" and wanted.strip('"') != current.strip('"'):
        raise etag_mismatch(resource)
