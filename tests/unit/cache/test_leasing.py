"""Leases as pure decisions: a state machine compares them with what their contract says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sutler.errors import Conflict

from services.cache.changes import Grant, Leave, Release, Remove, Row, Store, delete
from services.cache.entries import Entry, Kind, checksum
from services.cache.leases import Lease
from services.cache.leasing import Wish, extend, origin, release, take
from services.cache.puts import Condition, Content, Put, put
from services.cache.telling import shortens
from tests.unit.cache.views import NOW, Seen, cache

CACHE = cache()
REQUEST = "4f8e0f5e-0000-4000-8000-00000000000A"


def wish(request_id: str = "", duration: float = 30.0) -> Wish:
    return Wish(key="k", duration=duration, wait=0, max_stale=None, tags=("t",), origin=origin(request_id))


def wanted(token: str, seed: str = "s") -> Put:
    value = b"v"
    condition = Condition(lease_token=token)
    return Put(key="k", content=Content(Kind.BYTES, 1, checksum(value), value), condition=condition, seed=seed)


def granted(row: Row, seen: Seen) -> Lease:
    decision = row.decide(seen)
    assert isinstance(decision, Grant)
    return decision.lease


def test_a_repeat_gets_the_same_lease_and_nobody_else_does() -> None:
    first = granted(take(CACHE, wish(REQUEST), ""), Seen())
    assert (first.key, first.tags, first.expire_time) == ("k", ("t",), NOW + 30)
    held = Seen(lease=first, now=NOW + 5)
    assert granted(take(CACHE, wish(REQUEST.lower()), ""), held) == first
    for other in (wish(), wish(REQUEST.replace("4f", "5f"))):
        with pytest.raises(Conflict) as caught:
            take(CACHE, other, "").decide(held)
        assert (caught.value.reason, caught.value.metadata["key"]) == ("LEASE_HELD", "k")
        assert caught.value.retry_after is not None
        assert caught.value.retry_after.total_seconds() == 25


def test_a_new_lease_never_has_the_token_of_one_that_was_lost() -> None:
    first, second = (granted(take(CACHE, wish(REQUEST), ""), Seen()) for _ in range(2))
    assert first.token != second.token
    assert len(first.token) <= 256


def test_a_hit_gives_no_lease_unless_its_value_is_damaged() -> None:
    entry = put(CACHE, replace(wanted(""), condition=Condition())).decide(Seen())
    assert isinstance(entry, Store)
    alive = Seen(entry.entry)
    assert take(CACHE, wish(), "").decide(alive) == Leave(entry.entry)
    assert isinstance(take(CACHE, wish(), entry.entry.etag).decide(alive), Grant)
    assert isinstance(take(CACHE, wish(), "").decide(Seen(replace(entry.entry, expire_time=NOW))), Grant)


def test_a_delete_of_nothing_ends_a_lease_too() -> None:
    assert delete(CACHE, "k", "", True).decide(Seen()) == Release()


def test_a_put_that_ended_its_lease_may_be_repeated() -> None:
    lease = granted(take(CACHE, wish(), ""), Seen())
    first = put(CACHE, wanted(lease.token)).decide(Seen(lease=lease))
    assert isinstance(first, Store)
    assert put(CACHE, wanted(lease.token)).decide(Seen(first.entry)) == Leave(first.entry)
    with pytest.raises(Conflict):
        put(CACHE, wanted(lease.token, "another")).decide(Seen(first.entry))


@pytest.mark.parametrize(
    ("sliding", "ttl", "before", "after", "told"),
    [
        (False, 10.0, NOW + 10, NOW + 9, True),
        (False, 10.0, NOW + 10, NOW + 10, False),
        (False, 10.0, NOW + 10, NOW + 11, False),
        (False, 10.0, NOW + 10, None, False),
        (False, 0.0, None, NOW + 10, True),
        (True, 10.0, NOW + 5, NOW + 9, True),
        (True, 10.0, NOW + 5, NOW + 10, False),
    ],
)
def test_a_life_is_shorter_than_a_reader_may_know(
    sliding: bool, ttl: float, before: float | None, after: float | None, told: bool
) -> None:
    entry = Entry("k", Kind.BYTES, "e", ttl, before, NOW, 1, 1, "", NOW, NOW, NOW)
    assert shortens(cache(sliding=sliding), entry, replace(entry, expire_time=after), NOW) is told


class Leases(RuleBasedStateMachine):
    """One key: at most one lease lasts, and only its token puts."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.entry: Entry | None = None
        self.lease: Lease | None = None
        self.valid = ""
        self.ends = 0.0
        self.tokens = [""]
        self.puts = 0

    def seen(self) -> Seen:
        living = self.lease if self.lease is not None and self.lease.alive(self.now) else None
        return Seen(self.entry, now=self.now, lease=living)

    def apply(self, row: Row) -> bool:
        """Does what a backend does; returns whether the row was refused."""
        try:
            decision = row.decide(self.seen())
        except Conflict:
            return True
        match decision:
            case Grant(lease):
                self.lease = lease
            case Release():
                self.lease = None
            case Store(entry):
                self.entry, self.lease = entry, None
            case Remove():
                self.entry = self.lease = None
        return False

    @property
    def held(self) -> bool:
        return bool(self.valid) and self.ends > self.now

    @rule(duration=st.sampled_from([1.0, 5.0]), again=st.booleans())
    def ask(self, duration: float, again: bool) -> None:
        asking = wish(REQUEST if again else "", duration)
        hit = self.entry is not None and self.entry.alive(self.now)
        same = self.held and asking.got(Lease("k", self.valid, (), 0))
        refused = self.apply(take(CACHE, asking, ""))
        assert refused == (not hit and self.held and not same)
        if not (hit or refused or same):
            assert self.lease is not None
            assert self.lease.token not in self.tokens
            self.valid, self.ends = self.lease.token, self.now + duration
            self.tokens.append(self.valid)

    @rule(index=st.integers(0, 99))
    def put_with(self, index: int) -> None:
        token = self.tokens[index % len(self.tokens)] or "x"
        good = self.held and token == self.valid
        self.puts += 1
        assert self.apply(put(CACHE, wanted(token, f"put {self.puts}"))) is not good
        if good:
            self.valid = ""

    @rule(index=st.integers(0, 99), duration=st.sampled_from([1.0, 5.0]))
    def last_longer(self, index: int, duration: float) -> None:
        token = self.tokens[index % len(self.tokens)] or "x"
        good = self.held and token == self.valid
        assert self.apply(extend(CACHE, "k", token, duration)) is not good
        if good:
            self.ends = self.now + duration

    @rule(index=st.integers(0, 99))
    def give_back(self, index: int) -> None:
        token = self.tokens[index % len(self.tokens)] or "x"
        assert not self.apply(release("k", token))
        if token == self.valid:
            self.valid = ""

    @rule()
    def forget(self) -> None:
        self.apply(delete(CACHE, "k", "", True))
        self.entry, self.valid = None, ""

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def one_lease_lasts(self) -> None:
        living = self.seen().lease
        assert (living.token if living else "") == (self.valid if self.held else "")


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
