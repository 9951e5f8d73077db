from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sutler.errors import AlreadyExists, Conflict, Exhausted, Invalid, NotFound, SutlerError

from services.cache.caches import Cache, Eviction, Usage
from services.cache.changes import Leave, Store
from services.cache.entries import Blob, Entry, Kind, checksum
from services.cache.puts import Condition, Content, Put, put, written_by
from tests.unit.cache.views import NOW, Seen, cache

BLOB = Blob("a" * 64, 500, "b" * 32, "", "t/aa/file", 7, stored_size=500)


def content(value: bytes = b"value") -> Content:
    return Content(Kind.BYTES, len(value), checksum(value), value)


def wanted(value: bytes = b"value", **more: Any) -> Put:
    return Put(**{"key": "k", "content": content(value), "seed": "s", **more})


def stored(where: Cache, what: Put, seen: Seen | None = None) -> Entry:
    decision = put(where, what).decide(seen or Seen())
    assert isinstance(decision, Store)
    return decision.entry


def refusal(where: Cache, what: Put, seen: Seen) -> SutlerError:
    with pytest.raises(SutlerError) as caught:
        put(where, what).decide(seen)
    return caught.value


OLD = stored(cache(), wanted(b"old", seed="first"))
DEAD = replace(OLD, expire_time=NOW - 1)


def test_an_entry_begins_anew_with_each_put() -> None:
    used = replace(OLD, hit_count=5, access_time=NOW, create_time=NOW - 100, tags=("t",), content_type="a/b")
    entry = stored(cache(), wanted(), Seen(used))
    assert (entry.value, entry.hit_count, entry.access_time, entry.tags) == (b"value", 0, None, ())
    assert (entry.create_time, entry.put_time, entry.update_time) == (NOW - 100, NOW, NOW)
    assert stored(cache(), wanted(), Seen(replace(used, expire_time=NOW - 1))).create_time == NOW


@pytest.mark.parametrize(
    ("condition", "found", "error"),
    [
        (Condition(absent=True), None, None),
        (Condition(absent=True), DEAD, None),
        (Condition(absent=True), OLD, AlreadyExists),
        (Condition(etag=OLD.etag), OLD, None),
        (Condition(etag=OLD.etag.strip('"')), OLD, None),
        (Condition(etag='"other"'), OLD, Conflict),
        (Condition(etag=OLD.etag), DEAD, Conflict),
        (Condition(etag=OLD.etag), None, Conflict),
        (Condition(lease_token="t"), None, Conflict),
    ],
)
def test_conditions(condition: Condition, found: Entry | None, error: type[SutlerError] | None) -> None:
    what = wanted(condition=condition)
    if error is None:
        assert stored(cache(), what, Seen(found)).value == b"value"
    else:
        assert type(refusal(cache(), what, Seen(found))) is error


def test_a_repeat_of_the_same_request_is_no_conflict() -> None:
    what = wanted(condition=Condition(absent=True), tags=("t",))
    first = stored(cache(), what)
    assert put(cache(), what).decide(Seen(first)) == Leave(first)
    for other in (replace(what, seed="other"), replace(what, content=content(b"x")), replace(what, tags=())):
        assert isinstance(refusal(cache(), other, Seen(first)), AlreadyExists)


def test_every_put_has_an_etag_of_its_own() -> None:
    puts = [
        wanted(),
        wanted(seed="t"),
        wanted(b"other"),
        wanted(key="l"),
        wanted(tags=("a",)),
        wanted(tags=("a", "b")),
        wanted(metadata='{"a":1}'),
        wanted(content_type="a"),
        wanted(data_type="a"),
        wanted(ttl=5.0),
    ]
    assert len({stored(cache(), each).etag for each in puts}) == len(puts)
    assert stored(cache(), wanted()).etag == stored(cache(), wanted()).etag


def test_a_stream_knows_at_its_header_whether_it_wrote_the_entry() -> None:
    entry = stored(cache(), wanted(b"any"))
    assert written_by(wanted(content=None), entry)
    assert not written_by(wanted(content=None, seed="other"), entry)
    assert not written_by(wanted(content=None), None)


def test_the_value_can_stay() -> None:
    kept = stored(cache(), wanted(content=None, tags=("t",)), Seen(OLD))
    assert (kept.value, kept.checksum, kept.tags, kept.kind) == (OLD.value, OLD.checksum, ("t",), OLD.kind)
    assert kept.etag != OLD.etag
    assert put(cache(), wanted(content=None)).with_value
    assert not put(cache(), wanted()).with_value
    assert refusal(cache(), wanted(content=None), Seen()).reason == "ENTRY_NOT_FOUND"
    assert refusal(cache(), wanted(content=None), Seen(DEAD)).reason == "ENTRY_EXPIRED"


def test_a_blob_can_be_referred_to() -> None:
    what = wanted(content=None, reference=BLOB.sha256)
    entry = stored(cache(), what, Seen(blobs=(BLOB,)))
    assert (entry.blob, entry.value, entry.size, entry.checksum) == (BLOB, None, 500, BLOB.checksum)
    error = refusal(cache(), what, Seen(OLD))
    assert isinstance(error, NotFound)
    assert error.reason == "BLOB_NOT_FOUND"


@pytest.mark.parametrize(
    ("rules", "size", "limit"),
    [
        ({"max_entry_bytes": 5}, 5, ""),
        ({"max_entry_bytes": 5}, 6, "max_entry_bytes"),
        ({"max_bytes": 5}, 6, "max_bytes"),
        ({"max_entry_bytes": 9, "max_bytes": 5}, 6, "max_bytes"),
        ({"max_bytes": 0}, 10**6, ""),
    ],
)
def test_the_size_of_a_value(rules: dict[str, int], size: int, limit: str) -> None:
    what = wanted(b"x" * size)
    if not limit:
        assert stored(cache(**rules), what).size == size
    else:
        error = refusal(cache(**rules), what, Seen())
        assert isinstance(error, Invalid)
        assert (error.reason, error.metadata["limit"]) == ("TOO_LARGE", limit)


@pytest.mark.parametrize("rules", [{"eviction": Eviction.NONE}, {"storage_mode": True}])
def test_room_where_nothing_is_evicted(rules: dict[str, object]) -> None:
    two = cache(max_entries=2, max_bytes=100, **rules)
    full = Usage(entries=2, stored_bytes=90)
    error = refusal(two, wanted(), Seen(usage=full))
    assert isinstance(error, Exhausted)
    assert (error.reason, error.metadata["limit"], error.metadata["value"]) == ("CACHE_FULL", "max_entries", "2")
    assert stored(two, wanted(), Seen(OLD, usage=full)).value == b"value"
    error = refusal(two, wanted(b"x" * 50), Seen(OLD, usage=full))
    assert error.metadata["limit"] == "max_bytes"
    assert stored(two, wanted(b"x"), Seen(OLD, usage=Usage(entries=2, stored_bytes=500))).value == b"x"


def test_an_equal_blob_needs_no_room() -> None:
    store = cache(max_bytes=1000, eviction=Eviction.NONE)
    what = wanted(content=Content(Kind.BYTES, 500, BLOB.checksum, blob=BLOB))
    usage = Usage(entries=1, stored_bytes=900)
    assert stored(store, what, Seen(usage=usage, blobs=(BLOB,))).blob == BLOB
    assert refusal(store, what, Seen(usage=usage)).reason == "CACHE_FULL"


def test_a_cache_that_evicts_takes_everything() -> None:
    assert stored(cache(max_entries=1), wanted(), Seen(usage=Usage(entries=5))).value == b"value"
