"""Redis as an ordered store, where the network and the server fail. What every ordered store must do is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import redis
from sutler.errors import DataLoss, Exhausted, Unavailable
from sutler.testing import free_port, redis_prefix, redis_url

from services.cache.adapters.redis import RedisOptions
from services.cache.adapters.redis.store import RedisStore
from tests.integration.cache.calls import eventually
from tests.integration.cache.proxy import Proxy
from tests.integration.cache.redis_server import RedisServer

Open = Callable[..., RedisStore]
ALL = (b"", b"\xff", 100)


@pytest.fixture
def prefix() -> Iterator[str]:
    with redis_prefix() as found:
        yield found


@pytest_asyncio.fixture
async def opens(prefix: str) -> AsyncIterator[Open]:
    """Opens stores of one prefix, each as a process of its own would."""
    async with AsyncExitStack() as stack:

        def open_store(url: str = redis_url(), **options: object) -> RedisStore:
            store = RedisStore(RedisOptions.model_validate({"url": url, "prefix": prefix, **options}))
            stack.push_async_callback(store.close)
            return store

        yield open_store


@pytest_asyncio.fixture
async def proxy(prefix: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(redis_url())
    await proxy.start()
    yield proxy
    proxy.cut()


async def warm(store: RedisStore) -> None:
    """Has the scripts loaded and one connection open, so that the next command is one request."""
    assert await store.commit((b"warm", None), {b"k": None})


async def test_a_lost_answer_is_asked_for_again(opens: Open, proxy: Proxy) -> None:
    store = opens(proxy.url)
    await warm(store)
    proxy.lost = 1
    assert await store.commit((b"k", None), {b"k": b"1"})
    assert await store.get([b"k"]) == [b"1"]
    proxy.lost = 1
    assert not await store.commit((b"k", None), {b"k": b"2"})
    assert proxy.lost == 0
    assert await store.scan(*ALL) == [(b"k", b"1")]


async def test_when_every_answer_is_lost_the_outcome_is_unknown(opens: Open, proxy: Proxy) -> None:
    store = opens(proxy.url)
    await warm(store)
    proxy.lost = 100
    with pytest.raises(Unavailable) as caught:
        await store.commit((b"k", None), {b"k": b"1"})
    assert (caught.value.reason, caught.value.metadata["cause"]) == ("STORAGE_UNAVAILABLE", "no connection")
    assert caught.value.retry_after is not None
    proxy.lost = 0
    assert not await store.commit((b"k", None), {b"k": b"2"})


async def test_a_try_that_comes_late_has_no_second_effect(opens: Open, proxy: Proxy) -> None:
    store = opens(proxy.url, timeout_seconds=0.3)
    await warm(store)
    proxy.hold()
    assert await store.commit((b"k", None), {b"k": b"1"})
    assert proxy.holds
    assert await store.commit((b"k", b"1"), {b"k": None})
    await proxy.release()
    assert await store.scan(*ALL) == []


async def test_a_try_that_comes_late_cannot_turn_a_no_into_a_yes(opens: Open, proxy: Proxy) -> None:
    store, other = opens(proxy.url, timeout_seconds=0.3), opens()
    await warm(store)
    assert await other.commit((b"k", None), {b"k": b"1"})
    proxy.hold()
    assert not await store.commit((b"k", None), {b"k": b"2"})
    assert await other.commit((b"k", b"1"), {b"k": None})
    assert [answer.strip() for answer in await proxy.release()] == [b":0"]
    assert await store.scan(*ALL) == []


async def test_an_outage_is_told_and_over_when_it_is_over(opens: Open, proxy: Proxy) -> None:
    store = opens(proxy.url)
    assert await store.commit((b"k", None), {b"k": b"1"})
    proxy.cut()
    for call in (store.get([b"k"]), store.scan(*ALL), store.commit((b"k", None), {}), store.health()):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.reason == "STORAGE_UNAVAILABLE" and caught.value.retry_after is not None
    await proxy.start()
    assert await store.get([b"k"]) == [b"1"]


async def test_others_hear_of_commits_and_of_what_a_break_may_have_hidden(opens: Open, proxy: Proxy) -> None:
    listener, writer, heard = opens(proxy.url), opens(), 0

    def changed() -> None:
        nonlocal heard
        heard += 1

    async def hears(count: int) -> None:
        async def heard_so_often() -> bool:
            return heard >= count

        await eventually(heard_so_often)

    listener.listen(changed)
    await hears(1)
    assert await listener.commit((b"own", None), {b"own": b""})
    assert await writer.commit((b"k", None), {b"k": b""})
    await hears(2)
    assert heard == 2
    proxy.cut()
    assert await writer.commit((b"k", b""), {b"k": b"2"})
    await proxy.start()
    await hears(3)
    assert await writer.commit((b"k", b"2"), {b"k": b"3"})
    await hears(4)


async def test_a_store_that_has_just_begun_to_listen_closes(prefix: str) -> None:
    for turns in range(40):
        store = RedisStore(RedisOptions(url=redis_url(), prefix=prefix))
        store.listen(lambda: None)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(store.close(), 5)


async def test_who_waits_for_a_command_can_always_be_cancelled(opens: Open) -> None:
    store, writes = opens(), dict.fromkeys((b"%d" % number for number in range(50)), b"x")
    await warm(store)
    for turns in range(60):
        for call in (lambda: store.commit((b"none", None), writes), lambda: store.scan(*ALL), store.health):
            task = asyncio.create_task(call())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.cancel():
                await asyncio.wait((task,), timeout=5)
                assert task.cancelled()
    assert await store.get([b"7"]) == [b"x"]


async def test_no_update_is_lost_between_processes(opens: Open) -> None:
    stores = [opens(), opens()]

    async def add(store: RedisStore) -> None:
        while True:
            [value] = await store.get([b"count"])
            if await store.commit((b"count", value), {b"count": b"%d" % (int(value or 0) + 1)}):
                return

    await asyncio.gather(*(add(store) for store in stores for _ in range(50)))
    assert await stores[0].get([b"count"]) == [b"100"]


async def test_scripts_that_are_forgotten_are_sent_again(opens: Open, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        store = opens(server.url)
        await warm(store)
        with server.admin() as admin:
            admin.script_flush()
        assert await store.commit((b"k", None), {b"k": b"1"})
        assert await store.scan(*ALL) == [(b"k", b"1")]


async def test_foreign_data_under_its_keys_is_damage(opens: Open, prefix: str) -> None:
    store = opens()
    assert await store.commit((b"k", None), {b"k": b"1"})
    with redis.Redis.from_url(redis_url()) as admin:
        admin.hdel(f"{{{prefix}}}:values", "k")
        with pytest.raises(DataLoss):
            await store.scan(*ALL)
        admin.set(f"{{{prefix}}}:values", "something else")
    for call in (store.get([b"k"]), store.commit((b"k", None), {b"k": b""})):
        with pytest.raises(DataLoss):
            await call


async def test_full_memory_refuses_what_grows_and_changes_nothing(opens: Open, tmp_path: Path) -> None:
    with RedisServer(tmp_path, maxmemory="8mb", maxmemory_policy="noeviction") as server:
        store, kept = opens(server.url), 0

        async def fill() -> None:
            nonlocal kept
            while True:
                count = b"%d" % (kept + 1)
                writes = {b"gone": None, b"count": count, b"e" + count: bytes(100_000)}
                assert await store.commit((b"count", b"%d" % kept if kept else None), writes)
                kept += 1

        with pytest.raises(Exhausted) as caught:
            await fill()
        assert (caught.value.reason, kept > 5) == ("STORAGE_FULL", True)
        check = (b"count", b"%d" % kept)
        assert await store.get([b"count", b"e%d" % (kept + 1)]) == [check[1], None]
        with pytest.raises(Exhausted):
            await store.commit(check, {b"count": b"1", b"e1": None, b"new": bytes(200_000)})
        assert await store.get([b"count", b"e1", b"new"]) == [check[1], bytes(100_000), None]
        for number in range(1, kept + 1):
            assert await store.commit(check, {b"count": check[1], b"e%d" % number: None})
        assert await store.commit(check, {b"new": bytes(200_000)})
        assert [key for key, _ in await store.scan(*ALL)] == [b"count", b"new"]


async def test_a_scan_ends_early_where_values_are_large(opens: Open) -> None:
    store = opens()
    large = {b"%d" % number: bytes(2 * 1024 * 1024) for number in range(5)}
    assert await store.commit((b"k", None), large)
    assert [key for key, _ in await store.scan(*ALL)] == [b"0", b"1"]
    assert [key for key, _ in await store.scan(b"1\0", b"\xff", 2)] == [b"2", b"3"]


async def test_a_server_that_would_drop_keys_is_refused(opens: Open, tmp_path: Path) -> None:
    with RedisServer(tmp_path, maxmemory_policy="allkeys-lru") as server:
        store = opens(server.url)
        for call in (store.health(), store.get([b"k"]), store.commit((b"k", None), {b"k": b""})):
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.metadata == {"setting": "maxmemory-policy", "value": "allkeys-lru"}
        with server.admin() as admin:
            admin.config_set("maxmemory-policy", "noeviction")
        await store.health()
        assert await store.get([b"k"]) == [None]


async def test_a_server_that_logs_to_a_file_is_durable(opens: Open, tmp_path: Path) -> None:
    with RedisServer(tmp_path, appendonly="yes", appendfsync="always") as server:
        store = opens(server.url)
        assert await store.durable()
        assert await store.commit((b"k", None), {b"k": b"1"})
        server.kill()
        server.start()
        assert await store.scan(*ALL) == [(b"k", b"1")]
        with server.admin() as admin:
            admin.config_set("appendonly", "no")
        assert not await store.durable()


async def test_a_password_that_is_wrong_is_told_and_never_shown(opens: Open, tmp_path: Path) -> None:
    password = uuid4().hex
    with RedisServer(tmp_path, requirepass=password) as server:
        for wrong in ({}, {"password": "guess"}):
            with pytest.raises(Unavailable) as caught:
                await opens(server.url, **wrong).health()
            assert caught.value.metadata == {"cause": "access refused"}
        await opens(server.url, password=password).health()
    options = RedisOptions.model_validate({"password": password})
    assert password not in repr(options) + options.model_dump_json()


async def test_one_node_of_a_cluster_has_all(opens: Open, tmp_path: Path) -> None:
    with RedisServer(tmp_path, cluster_enabled="yes", cluster_port=str(free_port())) as server:
        with server.admin() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

        async def up() -> bool:
            with server.admin() as admin:
                return b"cluster_state:ok" in admin.execute_command("CLUSTER", "INFO")

        await eventually(up)
        heard = asyncio.Event()
        store, other = opens(server.url, cluster=True), opens(server.url, cluster=True)
        store.listen(heard.set)
        await asyncio.wait_for(heard.wait(), 10)
        heard.clear()
        assert await other.commit((b"k", None), {b"k": b"1", b"l": b"2"})
        await asyncio.wait_for(heard.wait(), 10)
        assert not await store.commit((b"k", None), {b"k": b"3"})
        assert await store.scan(*ALL) == [(b"k", b"1"), (b"l", b"2")]
        assert await store.get([b"l", b"k"]) == [b"2", b"1"]
        await store.health()
        assert not await store.durable()
