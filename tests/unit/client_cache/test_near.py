"""The near cache: bounded, and never older than what it was told."""

import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.following import SILENCE_SECONDS, apply
from sutler.client.cache.near import MISSING, OVERHEAD_BYTES, Fill, NearCache


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def near(clock: Clock) -> NearCache:
    made = NearCache(max_entries=3, max_bytes=10_000, max_age=300, clock=clock)
    made.live(1e9)
    return made


def keep(
    near: NearCache, key: str, value: Any = 1, *, etag: str = "e", tags: tuple[str, ...] = (), fill: Fill | None = None,
    size: int = 10, ends: float | None = None,
) -> bool:  # fmt: skip
    fill = fill or near.begin(key)
    expires = None if ends is None else datetime.now(UTC) + timedelta(seconds=ends)
    try:
        return near.keep(fill, CacheEntry(key, etag, tags=tags, expire_time=expires), value, lambda held: [held], size)
    finally:
        near.end(fill)


def test_a_hit_gives_a_copy_or_the_shared_value(near: NearCache) -> None:
    value = object()
    keep(near, "k", value)
    assert near.get("k", copy=False) is value
    assert near.get("k") == [value]
    assert near.get("other") is MISSING


def test_it_is_bounded_and_forgets_what_was_not_used(near: NearCache) -> None:
    for key in "abc":
        keep(near, key)
    near.get("a")
    keep(near, "d")
    assert [key for key in "abcd" if near.get(key) is not MISSING] == ["a", "c", "d"]
    keep(near, "e", size=8900)
    assert [key for key in "acde" if near.get(key) is not MISSING] == ["d", "e"]
    assert near.size_bytes == 8900 + 10 + 2 * (1 + OVERHEAD_BYTES)
    assert keep(near, "f", size=10_000) is False
    assert near.get("f") is MISSING and len(near) == 2


def test_what_expires_or_is_old_is_not_given(near: NearCache, clock: Clock) -> None:
    keep(near, "short", ends=10)
    keep(near, "long", ends=10_000)
    keep(near, "endless")
    assert keep(near, "past", ends=-1) is False
    clock.now += 11
    assert near.get("short") is MISSING and near.get("long") is not MISSING
    clock.now += 290
    assert near.get("long") is MISSING and near.get("endless") is MISSING


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"key": "a1"}, "a2 b"),
        ({"key": "a1", "etag": "e", "cause": pb.Invalidation.CAUSE_PUT}, "a1 a2 b"),
        ({"key": "a1", "etag": "f", "cause": pb.Invalidation.CAUSE_PUT}, "a2 b"),
        ({"tag": "t"}, "b"),
        ({"tag": "u"}, "a1 a2 b"),
        ({"prefix": "a"}, "b"),
        ({"prefix": ""}, ""),
        ({"all": True}, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("racing", [False, True], ids=["held", "on its way"])
def test_it_forgets_what_it_is_told(near: NearCache, told: dict[str, Any], left: str, racing: bool) -> None:
    tags = {"a1": ("t",), "a2": ("t", "v"), "b": ("v",)}
    fills = {key: near.begin(key) for key in tags} if racing else {}
    for key in tags if not racing else ():
        keep(near, key, tags=tags[key])
    apply(pb.WatchInvalidationsResponse(invalidations=[pb.Invalidation(**told)]), near)
    for key, fill in fills.items():
        keep(near, key, tags=tags[key], fill=fill)
    assert " ".join(key for key in tags if near.get(key) is not MISSING) == left


def test_a_fill_keeps_what_was_put_last(near: NearCache) -> None:
    fill = near.begin("k")
    near.forget_key("k", "old")
    near.forget_key("k", "new")
    assert keep(near, "k", fill=fill, etag="new") is True
    fill = near.begin("k")
    near.forget_key("k", "newer")
    near.forget_key("k")
    assert keep(near, "k", fill=fill, etag="newer") is False


def test_an_own_put_hides_nothing_that_was_told_after_it(near: NearCache) -> None:
    fill = near.begin("k")
    near.forget_key("k", "newer")
    near.wrote("k", "own")
    assert keep(near, "k", fill=fill, etag="own") is False
    fill = near.begin("k")
    near.wrote("k", "own")
    near.forget_key("k", "newer")
    assert keep(near, "k", fill=fill, etag="own") is False


def test_without_a_feed_it_keeps_nothing(clock: Clock) -> None:
    near = NearCache(clock=clock)
    early = near.begin("k")
    assert keep(near, "k") is False
    apply(pb.WatchInvalidationsResponse(reset=True), near)
    assert near.is_live and keep(near, "k", fill=early) is False
    keep(near, "k")
    assert near.get("k") is not MISSING
    late = near.begin("other")
    near.stop()
    assert near.get("k") is MISSING and len(near) == 0
    near.live(10)
    assert near.get("k") is MISSING and keep(near, "other", fill=late) is False


def test_a_silent_feed_is_not_trusted(near: NearCache, clock: Clock) -> None:
    apply(pb.WatchInvalidationsResponse(), near)
    keep(near, "k")
    clock.now += SILENCE_SECONDS - 1
    assert near.get("k") is not MISSING
    clock.now += 1
    assert near.get("k") is MISSING and not near.is_live
    assert keep(near, "k") is False


FORKED = """
import os, sys
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.near import MISSING, NearCache
near = NearCache()
near.live(60)
fill = near.begin("k")
near.keep(fill, CacheEntry("k"), 1, lambda value: value, 1)
near._lock.acquire()
if os.fork() == 0:
    given = near.get("k") is not MISSING or near.is_live
    near.live(60)
    fill = near.begin("other")
    os._exit(given or near.get("k") is not MISSING or not near.keep(fill, CacheEntry("other"), 1, id, 1))
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) or near.get("k") is MISSING)
"""


def test_a_forked_process_has_no_feed_and_begins_empty() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=10)


def test_a_reset_drops_everything(near: NearCache) -> None:
    keep(near, "k")
    apply(pb.WatchInvalidationsResponse(reset=True), near)
    assert near.get("k") is MISSING and near.is_live


def test_its_last_message_does_not_make_a_feed_live(clock: Clock) -> None:
    near = NearCache(clock=clock)
    message = pb.WatchInvalidationsResponse()
    message.status.code = 14
    apply(message, near)
    assert not near.is_live


def test_threads_do_not_disturb_each_other() -> None:
    near = NearCache(max_entries=50, max_bytes=100_000)
    near.live(1e9)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(3000):
                key = f"k{chance.randrange(100)}"
                act = chance.randrange(6)
                if act < 3:
                    assert near.get(key, copy=False) in (MISSING, key)
                elif act < 5:
                    keep(near, key, key, tags=(f"t{chance.randrange(5)}",), size=chance.randrange(5000))
                else:
                    chance.choice((near.forget_key, near.forget_prefix, lambda _: near.forget_tags(["t1"])))(key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(near) <= 50 and 0 <= near.size_bytes <= 100_000
    near.forget_all()
    assert near.size_bytes == 0 and not near._values._tagged and not near._fills


def test_a_prefix_is_forgotten_while_other_threads_look_up() -> None:
    near, done = NearCache(), threading.Event()
    near.live(1e9)
    keys = [f"k{number}" for number in range(1000)]
    for key in keys:
        keep(near, key)

    def look_up() -> None:
        while not done.is_set():
            for key in keys:
                near.get(key)

    thread = threading.Thread(target=look_up)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        for number in range(100):
            near.forget_prefix(f"k{number}")
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(before)
    assert len(near) == 0 and near.size_bytes == 0
