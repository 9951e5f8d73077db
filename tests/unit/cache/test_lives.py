from __future__ import annotations

from dataclasses import replace

import pytest
from sutler.errors import Invalid, NotFound

from services.cache.changes import Renew, touch
from services.cache.counters import increment
from services.cache.entries import Entry, Life, living, put_life, touch_life
from services.cache.faults import entry_expired
from tests.unit.cache.views import NOW, Seen, cache

DAY = 86_400.0


def made(life: Life) -> Entry:
    [entry] = [increment(cache(), "k", 0, 0, 60.0, "s").decide(Seen()).entry]
    assert entry is not None
    return replace(entry, ttl=life.ttl, expire_time=life.expire_time)


@pytest.mark.parametrize(
    ("rules", "ttl", "end", "life"),
    [
        ({}, None, None, Life(DAY, NOW + DAY)),
        ({}, 0.0, None, Life(0.0, None)),
        ({}, 5.0, None, Life(5.0, NOW + 5)),
        ({}, None, NOW + 7, Life(None, NOW + 7)),
        ({"default_ttl": 9.0}, None, None, Life(9.0, NOW + 9)),
        ({"default_ttl": 0.0}, None, None, Life(0.0, None)),
        ({"default_ttl": 9.0}, 3.0, None, Life(3.0, NOW + 3)),
        ({"storage_mode": True}, None, None, Life(0.0, None)),
        ({"storage_mode": True}, 0.0, None, Life(0.0, None)),
    ],
)
def test_the_life_of_a_put(rules: dict[str, object], ttl: float | None, end: float | None, life: Life) -> None:
    assert put_life(cache(**rules), ttl, end, NOW) == life


@pytest.mark.parametrize(
    ("rules", "ttl", "end", "cause"),
    [
        ({}, None, NOW, "past"),
        ({}, None, NOW - 1, "past"),
        ({"storage_mode": True}, 5.0, None, "storage_mode"),
        ({"storage_mode": True}, None, NOW + 5, "storage_mode"),
    ],
)
def test_impossible_lives(rules: dict[str, object], ttl: float | None, end: float | None, cause: str) -> None:
    with pytest.raises(Invalid) as caught:
        put_life(cache(**rules), ttl, end, NOW)
    assert (caught.value.reason, caught.value.metadata["cause"]) == ("EXPIRY_NOT_ALLOWED", cause)


@pytest.mark.parametrize(
    ("life", "ttl", "after"),
    [
        (Life(5.0, NOW + 1), None, Life(5.0, NOW + 5)),
        (Life(5.0, NOW + 1), 9.0, Life(9.0, NOW + 9)),
        (Life(5.0, NOW + 1), 0.0, Life(0.0, None)),
        (Life(0.0, None), None, Life(0.0, None)),
        (Life(None, NOW + 1), None, Life(None, NOW + 1)),
        (Life(None, NOW + 1), 9.0, Life(9.0, NOW + 9)),
    ],
)
def test_the_life_of_a_touch(life: Life, ttl: float | None, after: Life) -> None:
    assert touch_life(cache(), made(life), ttl, NOW) == after
    decision = touch(cache(), "k", ttl, "").decide(Seen(made(life)))
    assert isinstance(decision, Renew)
    assert (decision.entry.expire_time, decision.entry.life_time) == (after.expire_time, NOW)


def test_an_entry_is_dead_from_its_end_on() -> None:
    entry = made(Life(5.0, NOW + 5))
    assert living(cache(), "k", entry, NOW + 4.999) is entry
    for now in (NOW + 5, NOW + 6):
        with pytest.raises(NotFound) as caught:
            living(cache(), "k", entry, now)
        assert caught.value.reason == "ENTRY_EXPIRED"
    with pytest.raises(NotFound) as caught:
        living(cache(), "k", None, NOW)
    assert caught.value.reason == "ENTRY_NOT_FOUND"


def test_an_expired_entry_tells_when() -> None:
    error = entry_expired("caches/c", "k", 1_772_352_000.5)
    assert error.metadata["expire_time"] == "2026-03-01T08:00:00.500000Z"
