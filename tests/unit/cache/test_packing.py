from __future__ import annotations

import random

import pytest
import zstandard

from services.cache.caches import Compression
from services.cache.faults import DamagedError
from services.cache.packing import pack, unpack

BOTH = pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.LZ4])


@BOTH
def test_a_value_comes_back_and_is_smaller_at_rest(compression: Compression) -> None:
    value = b"the same again and again, " * 1000
    packing, packed = pack(value, compression)
    assert packing is compression
    assert len(packed) < len(value) // 10
    assert unpack(packed, packing, len(value)) == value


@BOTH
def test_what_does_not_get_smaller_stays_as_it_is(compression: Compression) -> None:
    value = random.Random(1).randbytes(5000)
    assert pack(value, compression) == (Compression.NONE, value)
    assert pack(b"", compression) == (Compression.NONE, b"")


@BOTH
def test_bytes_that_packing_did_not_make_are_damaged(compression: Compression) -> None:
    value = b"abc" * 5000
    _, packed = pack(value, compression)
    for broken in (b"", packed[:-3]):
        with pytest.raises(DamagedError):
            unpack(broken, compression, len(value))


def test_a_small_bomb_does_not_become_large() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    with pytest.raises(DamagedError):
        unpack(bomb, Compression.ZSTD, 1000)


def test_without_compression_nothing_is_done() -> None:
    assert pack(b"abc", Compression.NONE) == (Compression.NONE, b"abc")
    assert pack(b"abc", Compression.UNSPECIFIED) == (Compression.NONE, b"abc")
    with pytest.raises(DamagedError):
        unpack(b"ab", Compression.NONE, 3)
