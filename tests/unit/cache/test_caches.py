from __future__ import annotations

from dataclasses import replace

import pytest
from sutler.errors import Invalid

from services.cache.caches import Compression, Eviction, Rules, Usage, check_rules, passes_limit
from tests.unit.cache.views import cache

GIB = 1 << 30


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ({"default_ttl": 5.0}, ["cache.default_ttl"]),
        ({"default_ttl": 0.0}, []),
        ({"sliding": True}, ["cache.sliding"]),
        ({"eviction": Eviction.LRU}, ["cache.eviction"]),
        ({"eviction": Eviction.NONE}, []),
        ({"default_ttl": 5.0, "sliding": True}, ["cache.default_ttl", "cache.sliding"]),
    ],
)
def test_a_durable_store_has_no_rules_that_lose_things(rules: dict[str, object], fields: list[str]) -> None:
    wanted = Rules(storage_mode=True, **rules)  # type: ignore[arg-type]
    if fields:
        with pytest.raises(Invalid) as caught:
            check_rules(wanted)
        assert [violation.field for violation in caught.value.violations] == fields
    else:
        check_rules(wanted)
    check_rules(replace(wanted, storage_mode=False))


def test_the_defaults_of_the_contract() -> None:
    plain = cache()
    assert (plain.ttl, plain.max_bytes, plain.inline_limit, plain.evicts) == (86_400, 2 * GIB, 65_536, True)
    assert not cache(storage_mode=True).evicts
    assert not cache(eviction=Eviction.NONE).evicts
    assert cache(max_bytes=0).max_bytes == 0
    assert cache(inline_limit=0).inline_limit == 0


@pytest.mark.parametrize(
    ("rules", "usage", "part", "passed"),
    [
        ({}, Usage(stored_bytes=2 * GIB), 1.0, False),
        ({}, Usage(stored_bytes=2 * GIB + 1), 1.0, True),
        ({}, Usage(entries=10**9), 1.0, False),
        ({"max_bytes": 0}, Usage(stored_bytes=10**15), 1.0, False),
        ({"max_entries": 10}, Usage(entries=10), 1.0, False),
        ({"max_entries": 10}, Usage(entries=11), 1.0, True),
        ({"max_entries": 10}, Usage(entries=9), 0.8, True),
        ({"max_entries": 10}, Usage(entries=8), 0.8, False),
    ],
)
def test_limits(rules: dict[str, int], usage: Usage, part: float, passed: bool) -> None:
    assert passes_limit(cache(**rules), usage, part) is passed


@pytest.mark.parametrize(
    ("rules", "size", "packing"),
    [
        ({}, 5000, Compression.NONE),
        ({"compression": Compression.NONE}, 5000, Compression.NONE),
        ({"compression": Compression.ZSTD}, 1023, Compression.NONE),
        ({"compression": Compression.ZSTD}, 1024, Compression.ZSTD),
        ({"compression": Compression.LZ4, "compression_threshold": 0}, 0, Compression.LZ4),
        ({"compression": Compression.LZ4, "compression_threshold": 7}, 6, Compression.NONE),
        ({"compression": Compression.LZ4, "compression_threshold": 7}, 7, Compression.LZ4),
    ],
)
def test_which_values_are_packed(rules: dict[str, object], size: int, packing: Compression) -> None:
    assert cache(**rules).packing(size) is packing


def test_an_etag_follows_the_revision_and_the_identity() -> None:
    one = cache()
    others = {replace(one, revision=2).etag, replace(one, uid="v").etag, one.etag}
    assert len(others) == 3
    assert replace(one, uid="").etag == ""
