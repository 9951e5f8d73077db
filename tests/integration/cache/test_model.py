"""Random calls through a real channel, compared with a dict and a clock; the clock is the test's own."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import tempfile
import uuid
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import SutlerError
from sutler.server import running
from sutler.store import open_database

from services.cache import app as composition
from services.cache.app import app
from tests.integration.cache.calls import Shelf
from tests.integration.cache.model import DEFAULT_TTL, RETENTION, Held, Item, Model, Refused
from tests.integration.cache.places import Place, place_of, settings_of

T = TypeVar("T")

KEYS = ["a", "b", "a/b", "a\0", "ü", "../x"]
TAGS = ["red", "blue"]
keys = st.sampled_from(KEYS)
tags = st.lists(st.sampled_from(TAGS), unique=True).map(tuple)
ttls = st.sampled_from([None, 0.0, 5.0, 30.0])
values = st.sampled_from([b"", b"small", b"l" * 1500])
conditions = st.sampled_from(["none", "none", "absent", "etag", "other etag", "lease", "old lease"])


class Clock:
    """The time of the server."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Machine(RuleBasedStateMachine):
    """One server and one cache for each example. See :func:`run`."""

    runner: asyncio.Runner
    shelf: Shelf
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(self.clock.now)
        name = f"caches/m{uuid.uuid4().hex[:12]}"
        self.shelf = Shelf(self.shelf.client, name)
        cache = pb.Cache(
            default_ttl=Duration(seconds=int(DEFAULT_TTL)),
            stale_retention=Duration(seconds=int(RETENTION)),
        )
        self.wait(
            self.shelf.client.cache.CreateCache(
                pb.CreateCacheRequest(cache_id=name.removeprefix("caches/"), cache=cache)
            )
        )

    def wait(self, call: Awaitable[T]) -> T:
        async def run() -> T:
            return await call

        return self.runner.run(run())

    def answer(self, call: Awaitable[T]) -> T | str:
        """What a call gives, or the reason why it fails."""
        try:
            return self.wait(call)
        except SutlerError as error:
            return error.reason

    def refused(self, expected: Refused, answer: object) -> None:
        assert answer in expected.reason.split("|")

    def condition(self, key: str, kind: str) -> tuple[tuple[str, str], dict[str, Any] | None]:
        found, held = self.model.living(key), self.model.lease(key)
        if kind == "absent":
            return ("absent", ""), {"absent": True}
        if kind == "etag" and found and found.etag:
            return ("etag", found.etag), {"etag": found.etag}
        if kind == "other etag":
            return ("etag", "other"), {"etag": '"other"'}
        if kind == "lease" and held:
            return ("lease", held.token), {"lease_token": held.token}
        if kind == "old lease" and self.model.tokens:
            _, token = self.model.tokens[0]
            return ("lease", token), {"lease_token": token}
        return ("none", ""), None

    @rule(key=keys, value=values, ttl=ttls, tags=tags, kind=conditions, keep=st.booleans(), batch=st.booleans())
    def put(
        self, key: str, value: bytes, ttl: float | None, tags: tuple[str, ...], kind: str, keep: bool, batch: bool
    ) -> None:
        keep = keep and not value
        expected, condition = self.condition(key, kind)
        life = DEFAULT_TTL if ttl is None else ttl
        item = Item(value, "", life, self.model.now + life if life else None, tags)
        entry = pb.Entry(tags=tags)
        if not keep:
            entry.inline_value = value
        if ttl is not None:
            entry.ttl.FromMilliseconds(int(ttl * 1000))
        answer = self.answer(self._put(key, entry, condition, keep, batch))
        try:
            self.model.put(key, item, expected, keep)
        except Refused as refused:
            self.refused(refused, answer)
            return
        assert isinstance(answer, pb.Entry), answer
        self.model.items[key] = self.with_etag(self.model.items[key], answer.etag)

    async def _put(self, key: str, entry: pb.Entry, condition: Any, keep: bool, batch: bool) -> pb.Entry:
        if not batch:
            request = pb.PutEntryRequest(cache=self.shelf.name, key=key, entry=entry, keep_value=keep)
            if condition:
                request.condition.CopyFrom(pb.PutCondition(**condition))
            return await self.shelf.client.cache.PutEntry(request)
        row = pb.PutEntryRow(key=key, entry=entry, keep_value=keep)
        if condition:
            row.condition.CopyFrom(pb.PutCondition(**condition))
        rows = pb.BatchPutEntriesRequest(cache=self.shelf.name, rows=[row])
        [result] = (await self.shelf.client.cache.BatchPutEntries(rows)).results
        if result.HasField("status"):
            raise status_error(result.status)
        return result.entry

    @staticmethod
    def with_etag(item: Item, etag: str) -> Item:
        return Item(item.value, etag, item.ttl, item.expires, item.tags, item.metadata, item.counter)

    @rule(key=keys, kind=st.sampled_from(["", "", "etag", "other"]), missing=st.booleans())
    def delete(self, key: str, kind: str, missing: bool) -> None:
        found = self.model.living(key)
        etag = '"other"' if kind == "other" else found.etag if kind and found else ""
        answer = self.answer(self.shelf.delete(key, etag=etag, allow_missing=missing))
        try:
            self.model.delete(key, etag, missing)
        except Refused as refused:
            self.refused(refused, answer)
        else:
            assert answer is None

    @rule(key=keys, ttl=ttls)
    def touch(self, key: str, ttl: float | None) -> None:
        given = {} if ttl is None else {"ttl": Duration(seconds=int(ttl))}
        answer = self.answer(self.shelf.touch(key, **given))
        try:
            self.model.touch(key, ttl)
        except Refused as refused:
            self.refused(refused, answer)
        else:
            assert isinstance(answer, pb.Entry)

    @rule(key=keys, delta=st.integers(-5, 5))
    def increment(self, key: str, delta: int) -> None:
        answer = self.answer(self.shelf.increment(key, delta=delta))
        try:
            expected = self.model.count(key, delta)
        except Refused as refused:
            self.refused(refused, answer)
            return
        assert isinstance(answer, pb.Entry)
        assert answer.counter_value == expected
        self.model.items[key] = self.with_etag(self.model.items[key], answer.etag)

    @rule(some=st.lists(keys, min_size=1, unique=True))
    def invalidate_keys(self, some: list[str]) -> None:
        expected = self.model.invalidate(lambda key, _: key in some, lambda key, _: key in some)
        assert self.wait(self.shelf.invalidate(keys=some)) == expected

    @rule(tag=st.sampled_from(TAGS))
    def invalidate_tag(self, tag: str) -> None:
        expected = self.model.invalidate(lambda _, item: tag in item.tags, lambda _, held: tag in held.tags)
        assert self.wait(self.shelf.invalidate(tags=[tag])) == expected

    @rule(prefix=st.sampled_from(["a", "a/", "ü", "none"]))
    def invalidate_prefix(self, prefix: str) -> None:
        expected = self.model.invalidate(lambda key, _: key.startswith(prefix), lambda key, _: key.startswith(prefix))
        assert self.wait(self.shelf.invalidate(prefix=prefix)) == expected

    @rule()
    def invalidate_large(self) -> None:
        expected = self.model.invalidate(lambda _, item: len(item.value) > 1000, lambda _, held: True)
        assert self.wait(self.shelf.invalidate(filter="size_bytes > 1000")) == expected

    @rule()
    def invalidate_all(self) -> None:
        expected = self.model.invalidate(lambda _, item: True, lambda _, held: True)
        assert self.wait(self.shelf.invalidate(all=True)) == expected

    @rule(key=keys, tags=tags)
    def lease(self, key: str, tags: tuple[str, ...]) -> None:
        request = pb.LeaseEntryRequest(
            cache=self.shelf.name, key=key, tags=tags, lease_duration=Duration(seconds=20), wait_timeout=Duration()
        )
        answer = self.answer(self.shelf.client.cache.LeaseEntry(request))
        if (item := self.model.living(key)) is not None:
            assert isinstance(answer, pb.LeaseEntryResponse)
            assert answer.entry.etag == item.etag
        elif self.model.lease(key):
            assert answer == "LEASE_HELD"
        else:
            assert isinstance(answer, pb.LeaseEntryResponse)
            token = answer.lease.lease_token
            self.model.leases[key] = Held(token, self.model.now + 20, tags)
            self.model.tokens.append((key, token))

    @rule(key=keys, old=st.booleans())
    def extend(self, key: str, old: bool) -> None:
        held = self.model.lease(key)
        token = self.model.tokens[0][1] if old and self.model.tokens else held.token if held else "none"
        request = pb.ExtendLeaseRequest(
            cache=self.shelf.name, key=key, lease_token=token, lease_duration=Duration(seconds=40)
        )
        answer = self.answer(self.shelf.client.cache.ExtendLease(request))
        if held and held.token == token:
            assert isinstance(answer, pb.Lease)
            self.model.leases[key] = Held(token, self.model.now + 40, held.tags)
        else:
            assert answer == "LEASE_LOST"

    @rule(key=keys)
    def release(self, key: str) -> None:
        held = self.model.lease(key)
        token = held.token if held else "none"
        self.wait(
            self.shelf.client.cache.ReleaseLease(
                pb.ReleaseLeaseRequest(cache=self.shelf.name, key=key, lease_token=token)
            )
        )
        self.model.leases.pop(key, None)

    @rule(seconds=st.sampled_from([1.0, 4.0, 10.0, 60.0, 200.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.model.now = self.clock.now

    @invariant()
    def is_the_same(self) -> None:
        answer = self.wait(
            self.shelf.client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=self.shelf.name, keys=KEYS))
        )
        for key, result in zip(KEYS, answer.results, strict=True):
            item = self.model.living(key)
            assert result.HasField("entry") == (item is not None), key
            if item is None:
                continue
            entry = result.entry
            value = str(entry.counter_value).encode() if entry.HasField("counter_value") else entry.inline_value
            assert (value, entry.etag, tuple(sorted(entry.tags))) == (item.value, item.etag, tuple(sorted(item.tags)))
            assert entry.HasField("expire_time") == (item.expires is not None)
            if item.expires is not None:
                assert entry.expire_time.ToMilliseconds() / 1000 == pytest.approx(item.expires, abs=0.01)
        listed = self.wait(self.shelf.keys())
        assert listed == sorted(key for key in KEYS if self.model.living(key))


def status_error(status: Any) -> SutlerError:
    """The error that a row's status stands for."""
    from sutler.status import from_status

    error = from_status(status)
    assert isinstance(error, SutlerError)
    return error


def run(place: Place, examples: int, steps: int, chosen: int) -> None:
    """Runs the machine against a server of its own, whose clock is the test's."""
    clock = Clock()

    async def begin(stack: AsyncExitStack) -> Shelf:
        server = await stack.enter_async_context(running(app, settings_of(place), "cache"))
        return Shelf(await stack.enter_async_context(connect(server.address)), "")

    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patched:
        patched.setattr(composition, "open_database", functools.partial(open_database, clock=clock))
        stack = AsyncExitStack()
        shelf = runner.run(begin(stack))
        machine = type("Machine", (Machine,), {"runner": runner, "shelf": shelf, "clock": clock})
        try:
            run_state_machine_as_test(
                seed(chosen)(machine),
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.aclose())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_service_does_what_the_model_says(engine: str, tmp_path: Path) -> None:
    with place_of(engine, tmp_path) as place:
        run(place, examples=12, steps=40, chosen=7)


@pytest.mark.crash
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_many_examples(engine: str) -> None:
    chosen = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={chosen}")
    with tempfile.TemporaryDirectory() as folder, place_of(engine, Path(folder)) as place:
        run(place, examples=300, steps=60, chosen=chosen)
