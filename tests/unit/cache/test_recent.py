"""What was answered a moment ago is given again only while it is right."""

from __future__ import annotations

from dataclasses import replace

from services.cache.caches import Cache
from services.cache.entries import Entry, Kind, checksum
from services.cache.forms import Form, View
from services.cache.recent import FRESH_SECONDS, MAX_ANSWER_BYTES, Recent
from services.cache.results import Version
from tests.unit.cache.views import NOW, cache

ENTRY = Entry("k", Kind.BYTES, '"e"', None, None, NOW, 1, 1, checksum(b"x"), NOW, NOW, NOW)
FULL = Form(View.FULL, lambda name, entry: b"")
CACHE = cache()


def kept(recent: Recent, version: int, of: Cache = CACHE, form: Form = FULL) -> set[str]:
    return set(recent.right(of, form, Version(version, NOW)))


def keep(recent: Recent, key: str, version: int | None, of: Cache = CACHE, form: Form = FULL, size: int = 1) -> None:
    recent.keep(of, form, replace(ENTRY, key=key), bytes(size), version, NOW)


def test_an_answer_is_right_for_its_version_only() -> None:
    recent = Recent(10_000)
    keep(recent, "a", 5)
    assert recent.has(CACHE, FULL, "a") and kept(recent, 5) == {"a"}
    assert kept(recent, 4) == set() and kept(recent, 5) == {"a"}
    assert kept(recent, 6) == set() and kept(recent, 5) == set()
    keep(recent, "a", 5)
    assert kept(recent, 5) == set() and kept(recent, 6) == set()
    assert recent.right(CACHE, FULL, None) == {}


def test_an_answer_belongs_to_the_cache_as_it_was_and_to_its_form() -> None:
    recent = Recent(10_000)
    keep(recent, "a", 5)
    other = Form(View.FULL, FULL.encode)
    assert kept(recent, 5, form=other) == set() and not recent.has(CACHE, other, "a")
    assert kept(recent, 5, of=replace(CACHE, space=2)) == set()
    assert kept(recent, 5) == {"a"}
    assert kept(recent, 5, of=replace(CACHE, revision=2)) == set()


def test_own_changes_take_their_own_keys() -> None:
    recent = Recent(10_000)
    for key in ("a", "b", "c"):
        keep(recent, key, 5)
    recent.changed(CACHE, (5, 7), ["a", "b"])
    assert kept(recent, 7) == {"c"}


def test_own_changes_after_those_of_others_prove_nothing() -> None:
    recent = Recent(10_000)
    keep(recent, "a", 5)
    recent.changed(CACHE, (6, 7), ["b"])
    assert kept(recent, 7) == set()
    keep(recent, "a", 7)
    recent.changed(CACHE, None, ["b"])
    assert kept(recent, 8) == set()


def test_what_is_not_kept() -> None:
    recent = Recent(10_000_000)
    keep(recent, "unknown", None)
    keep(recent, "large", 1, size=MAX_ANSWER_BYTES + 1)
    keep(recent, "basic", 1, form=Form(View.BASIC, FULL.encode))
    keep(recent, "known", 1, form=replace(FULL, known_etag='"e"'))
    keep(recent, "sliding", 1, of=cache(sliding=True))
    keep(Recent(0), "off", 1)
    assert kept(recent, 1) == set()


def test_an_answer_ends_with_its_entry() -> None:
    recent = Recent(10_000)
    keep(recent, "lasting", 1)
    ending = replace(ENTRY, key="ending", ttl=0.5, expire_time=NOW + 0.5)
    recent.keep(CACHE, FULL, ending, b"x", 1, NOW)
    found = recent.right(CACHE, FULL, Version(1, NOW))
    assert {key: answer.until for key, answer in found.items()} == {"lasting": NOW + FRESH_SECONDS, "ending": NOW + 0.5}


def test_a_cache_without_answers_takes_no_memory() -> None:
    recent = Recent(100_000)
    for number in range(1000):
        assert kept(recent, 1, of=replace(CACHE, space=number)) == set()
    assert not recent._shelves


def test_memory_is_bounded() -> None:
    recent = Recent(100_000)
    for number in range(10_000):
        keep(recent, f"{number}", 1, size=100)
        assert len(kept(recent, 1)) <= 200
    assert "9999" in kept(recent, 1)
