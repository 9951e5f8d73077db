"""Values on their way in: packed as they will be at rest, and with what their signature needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.cache.caches import Cache, Compression
from services.cache.entries import Kind
from services.cache.packing import pack
from services.cache.puts import Put
from services.cache.signing import sha256_of

LARGE = 64 << 10
"""From so many bytes on the work is done in a thread, so that other calls come in between."""


def fits(cache: Cache, wanted: Put) -> bool:
    """Returns whether a put needs no blob to be written. Counters never do: they are a few bytes."""
    content = wanted.content
    return content is None or content.kind is Kind.COUNTER or content.size <= cache.inline_limit


async def prepared(cache: Cache, wanted: Sequence[Put]) -> Sequence[Put]:
    """Returns puts whose values are as they will be beside their metadata; those that need a blob stay as they are."""
    if not cache.rules.signing and cache.compression is Compression.NONE:
        return wanted
    size = sum(each.content.size for each in wanted if each.content is not None and fits(cache, each))
    if size <= LARGE:
        return [_prepared(cache, each) for each in wanted]
    return await asyncio.to_thread(lambda: [_prepared(cache, each) for each in wanted])


def _prepared(cache: Cache, wanted: Put) -> Put:
    content = wanted.content
    if content is None or content.value is None or not fits(cache, wanted):
        return wanted
    sha256 = sha256_of(content.value) if cache.rules.signing else ""
    compression = Compression.NONE if content.kind is Kind.COUNTER else cache.packing(content.size)
    packing, value = pack(content.value, compression)
    return replace(wanted, content=replace(content, value=value, packing=packing, sha256=sha256))
