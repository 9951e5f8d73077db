from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import FailedPrecondition, NotFound, SutlerError

from services.cache.caches import Cache
from services.cache.changes import Leave, Renew, Row, Store, touch
from services.cache.counters import increment
from services.cache.entries import Blob, Entry, Kind, checksum
from services.cache.puts import Condition, Content, Put, put
from services.cache.signing import Signer, covered, sha256_of, signed_sha256
from tests.unit.cache.views import NOW, Seen, cache

OLD, NEW = Signer([b"o" * 32]), Signer([b"n" * 32, b"o" * 32])
VALUE = b"value"
SHA256 = sha256_of(VALUE)
BLOB = Blob(SHA256, 5, checksum(VALUE), "", "t/aa/file", 7, stored_size=5)
BARE = Entry("k", Kind.BYTES, '"e"', 5.0, NOW + 5, NOW, 5, 5, checksum(VALUE), NOW, NOW, NOW, value=VALUE)
FULL = replace(
    BARE, content_type="text/plain", data_type="text", metadata='{"b":[1,{"y":2,"x":null}],"a":0.5}', tags=("t", "u")
)

names = st.text(alphabet='ab",[]\\\0é', max_size=3)
documents = st.dictionaries(names, st.none() | st.integers(-9, 9) | names, max_size=2)
described = st.tuples(
    names, names, st.sampled_from(Kind), names, names, documents, st.frozensets(names, max_size=3), st.integers(0, 20)
)
Described = tuple[str, str, Kind, str, str, dict[str, object], frozenset[str], int]


def signing() -> Cache:
    return cache(signing=True)


def bytes_of(what: Described) -> bytes:
    tenant, key, kind, content_type, data_type, metadata, tags, size = what
    entry = replace(
        BARE,
        key=key,
        kind=kind,
        content_type=content_type,
        data_type=data_type,
        metadata=orjson.dumps(metadata).decode(),
        tags=tuple(tags),
        size=size,
    )
    return covered(replace(signing(), tenant=tenant), entry, SHA256)


@given(described, described)
def test_no_two_entries_are_signed_alike(one: Described, two: Described) -> None:
    assert (bytes_of(one) == bytes_of(two)) == (one == two)


def test_the_order_in_which_a_store_gives_metadata_and_tags_does_not_matter() -> None:
    entry = OLD.signed(signing(), FULL, SHA256)
    turned = replace(entry, metadata='{"a": 0.5, "b": [1, {"x": null, "y": 2}]}', tags=("u", "t"))
    assert OLD.fault(signing(), turned) == ""


def test_what_is_not_put_can_change() -> None:
    entry = OLD.signed(signing(), FULL, SHA256)
    used = replace(entry, ttl=None, expire_time=None, life_time=NOW + 1, hit_count=9, access_time=NOW, value=None)
    assert OLD.fault(signing(), used) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"key": "l"},
        {"kind": Kind.JSON},
        {"content_type": "text/html"},
        {"data_type": "pickle"},
        {"metadata": '{"b":[{"y":2,"x":null},1],"a":0.5}'},
        {"metadata": "{}"},
        {"metadata": "{"},
        {"tags": ("t",)},
        {"tags": ("tu",)},
        {"size": 6},
        {"blob": replace(BLOB, sha256="a" * 64)},
    ],
)
def test_an_altered_entry_is_told(change: dict[str, object]) -> None:
    entry = OLD.signed(signing(), FULL, SHA256)
    assert OLD.fault(signing(), entry) == ""
    assert OLD.fault(signing(), replace(entry, **change)) == "altered"  # type: ignore[arg-type]


def test_an_entry_counts_in_its_cache_and_tenant_only() -> None:
    entry = OLD.signed(signing(), BARE, SHA256)
    for other in (replace(signing(), id="d"), replace(signing(), tenant="other")):
        assert OLD.fault(other, entry) == "altered"


@given(st.text(max_size=20) | st.lists(st.text(max_size=5), min_size=4, max_size=4).map(".".join))
def test_no_text_is_a_signature_by_chance(text: str) -> None:
    assert OLD.fault(signing(), replace(BARE, signature=text)) in ("unsigned", "altered", "unknown key")


def test_a_signature_for_another_value_is_no_use() -> None:
    entry = OLD.signed(signing(), BARE, SHA256)
    other = entry.signature.replace(SHA256, sha256_of(b"other"))
    assert OLD.fault(signing(), replace(entry, signature=other)) == "altered"
    assert signed_sha256(entry) == SHA256


def test_keys_can_be_changed() -> None:
    old, new = OLD.signed(signing(), BARE, SHA256), NEW.signed(signing(), BARE, SHA256)
    assert NEW.checked(signing(), old).verified
    assert NEW.checked(signing(), new).verified
    assert OLD.fault(signing(), new) == "unknown key"
    assert Signer([]).fault(signing(), old) == "unknown key"
    with pytest.raises(NotFound) as caught:
        OLD.checked(signing(), new)
    assert (caught.value.reason, caught.value.metadata["cause"]) == ("SIGNATURE_INVALID", "unknown key")


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        Signer([]).signed(signing(), BARE, SHA256)
    assert caught.value.reason == "SIGNING_KEY_MISSING"


def test_a_cache_that_does_not_sign_pays_nothing() -> None:
    assert OLD.signed(cache(), BARE, SHA256) is BARE
    assert OLD.checked(cache(), BARE) is BARE
    forged = replace(BARE, signature="1.a.b.c")
    assert OLD.checked(cache(), forged) is forged


def test_a_store_cannot_say_that_an_entry_was_verified() -> None:
    forged = replace(BARE, verified=True)
    for entry in (OLD.checked(cache(), forged), OLD.signed(cache(), forged, SHA256)):
        assert not entry.verified
    assert refusal(touch(signing(), "k", None, "", OLD), Seen(forged)).reason == "SIGNATURE_INVALID"
    assert not decided(increment(cache(), "k", 1, 0, None, "s"), Seen(counter(forged))).verified


def wanted(**more: object) -> Put:
    content = Content(Kind.BYTES, 5, checksum(VALUE), VALUE, sha256=SHA256)
    return Put(**{"key": "k", "content": content, "seed": "s", **more})  # type: ignore[arg-type]


def counter(entry: Entry) -> Entry:
    return replace(entry, kind=Kind.COUNTER, value=b"7", checksum=checksum(b"7"))


def decided(row: Row, seen: Seen) -> Entry:
    decision = row.decide(seen)
    assert isinstance(decision, Store | Renew | Leave)
    assert decision.entry is not None
    return decision.entry


def refusal(row: Row, seen: Seen) -> SutlerError:
    with pytest.raises(SutlerError) as caught:
        row.decide(seen)
    return caught.value


@pytest.mark.parametrize("found", [BARE, replace(OLD.signed(signing(), BARE, SHA256), data_type="pickle")])
def test_what_is_not_signed_right_is_not_built_on(found: Entry) -> None:
    seen = Seen(counter(found))
    for row in (
        put(signing(), wanted(content=None), signer=OLD),
        increment(signing(), "k", 1, 0, None, "s", OLD),
        touch(signing(), "k", None, "", OLD),
    ):
        assert refusal(row, seen).reason == "SIGNATURE_INVALID"
    assert OLD.fault(signing(), decided(put(signing(), wanted(), signer=OLD), seen)) == ""


def test_a_repeat_does_not_answer_with_what_was_altered() -> None:
    row = put(signing(), wanted(condition=Condition(absent=True)), signer=OLD)
    first = decided(row, Seen())
    assert decided(row, Seen(first)) == first
    assert refusal(row, Seen(replace(first, tags=("t",)))).reason == "SIGNATURE_INVALID"


def test_a_value_that_stays_is_signed_anew_with_what_is_new() -> None:
    first = decided(put(signing(), wanted(), signer=OLD), Seen())
    kept = decided(put(signing(), wanted(content=None, tags=("t",)), signer=NEW), Seen(replace(first, verified=False)))
    assert (NEW.fault(signing(), kept), signed_sha256(kept), kept.verified) == ("", SHA256, True)


def test_a_blob_is_signed_by_its_sha256() -> None:
    referring = wanted(content=None, reference=SHA256)
    entry = decided(put(signing(), referring, signer=OLD), Seen(blobs=(BLOB,)))
    assert (OLD.fault(signing(), entry), signed_sha256(entry)) == ("", SHA256)


def test_a_counter_counts_on_from_what_was_signed() -> None:
    first = decided(increment(signing(), "k", 5, 0, None, "s", OLD), Seen())
    assert signed_sha256(first) == sha256_of(b"5")
    row = increment(signing(), "k", 2, 0, None, "t", OLD)
    assert decided(row, Seen(first)).value == b"7"
    forged = replace(first, value=b"9", checksum=checksum(b"9"))
    assert refusal(row, Seen(forged)).metadata["cause"] == "altered"
    assert refusal(row, Seen(replace(first, value=b"9"))).reason == "ENTRY_CORRUPT"
    unsigned = decided(increment(cache(), "k", 2, 0, None, "t"), Seen(first))
    assert (unsigned.value, unsigned.signature) == (b"7", "")


def test_keys_stay_out_of_texts() -> None:
    assert "oooo" not in repr(OLD)
    assert b"oooo".hex() not in OLD.signed(signing(), BARE, SHA256).signature
