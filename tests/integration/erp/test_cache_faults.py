"""Nothing older than a write through the gateway, whatever becomes of the cache, of answers and of other processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import SutlerError
from sutler.testing import ServiceProcess, serve, wait_until
from sutler.wire import duration, from_struct, to_struct

from services.cache.app import app as cache_app
from services.cache.settings import Settings as CacheSettings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.requests import request_id
from tests.integration.erp.servers import Call, Proxy, Reply, serving

CACHED = {erp_pb2.DataSource.ORIGIN_CACHE_SERVICE, erp_pb2.DataSource.ORIGIN_NEAR_CACHE}
COUNTRY = 233
SLOWEST = 4.0
"""Seconds that a call may take at the most when CacheService is silent: one look and one put, or invalidation."""


@pytest.fixture
async def cache_address(tmp_path: Path) -> AsyncIterator[str]:
    async with serve(cache_app, CacheSettings, data=f"sqlite:///{tmp_path}/cache.db") as (_, running):
        yield running.address


@pytest.fixture(params=[0, 64])
async def client(
    request: pytest.FixtureRequest, sqlite: str, cache_address: str, proxy: tuple[Proxy, str]
) -> AsyncIterator[Sutler]:
    """A gateway that reads through a cache, and a near one too, before an ERP that can be slow and lose answers."""
    async with gateway(sqlite, cache_address=cache_address, near_cache_mb=request.param) as found:
        await connect(found, proxy[1], method_rules=RULES, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
        yield found


def partner(sandbox: SandboxProcess, name: str, **more: object) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": name, "country_id": COUNTRY, **more}])
    return int(made)


async def update(client: Sutler, record_id: int, values: dict[str, object], model: str = "res.partner") -> None:
    await client.erp.UpdateRecord(
        erp_pb2.UpdateRecordRequest(
            connection=MAIN, model=model, id=record_id, values=to_struct(values), request_id=request_id()
        )
    )


async def read(client: Sutler, record_id: int, field: str = "name") -> tuple[object, int]:
    found = await client.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=record_id, fields=[field])
    )
    return from_struct(found.values)[field.partition(".")[0]], found.source.origin


async def kept(client: Sutler, record_id: int, field: str = "name") -> object:
    """Waits until a record comes from the cache, and returns the field."""

    async def there() -> bool:
        return (await read(client, record_id, field))[1] in CACHED

    await wait_until(there)
    return (await read(client, record_id, field))[0]


async def test_a_write_before_the_first_read_does_not_keep_the_cache_from_being_used(
    client: Sutler, sandbox: SandboxProcess
) -> None:
    one = partner(sandbox, "before")
    await update(client, one, {"name": "after"})
    assert await kept(client, one) == "after"


async def test_a_write_whose_answer_is_lost_leaves_nothing_older(
    client: Sutler, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    one = partner(sandbox, "before")
    assert await kept(client, one) == "before"
    proxy[0].lose("write")
    with pytest.raises(SutlerError):
        await update(client, one, {"name": "after"})
    assert (await read(client, one))[0] == "after"


async def test_a_write_that_happens_after_its_timeout_is_seen(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    late: list[Call] = []

    async def answer(call: Call) -> Reply:
        if call.method != "write":
            return await proxy[0].answer(call)
        late.append(call)
        return Reply(silent=True)

    once = erp_pb2.RetryPolicy(max_attempts=1)
    async with serving(answer) as url, gateway(sqlite, alone=True) as client:
        await connect(client, url, retry_policy=once, timeout=duration(0.3))
        one = partner(sandbox, "before")
        with pytest.raises(SutlerError):
            await update(client, one, {"name": "after"})
        assert await kept(client, one) == "before"
        await proxy[0].answer(late[0])

        async def seen() -> bool:
            return (await read(client, one))[0] == "after"

        await wait_until(seen, 10)


async def test_the_title_of_a_related_record_is_that_of_its_last_write(client: Sutler, sandbox: SandboxProcess) -> None:
    parent = partner(sandbox, "Old Parent")
    child = partner(sandbox, "child", parent_id=parent)
    assert await kept(client, child, "parent_id") == {"id": parent, "display_name": "Old Parent"}
    await update(client, parent, {"name": "New Parent"})
    assert (await read(client, child, "parent_id"))[0] == {"id": parent, "display_name": "New Parent"}


async def test_records_that_are_written_through_a_relation_are_read_anew(
    client: Sutler, sandbox: SandboxProcess
) -> None:
    parent = partner(sandbox, "parent")
    child = partner(sandbox, "before", parent_id=parent)
    assert await kept(client, child) == "before"
    await update(client, parent, {"child_ids": {"update": [{"id": child, "name": "after"}]}})
    assert (await read(client, child))[0] == "after"


@pytest.mark.parametrize("what", ["search", "count"])
async def test_searches_by_related_records_follow_their_writes(
    client: Sutler, sandbox: SandboxProcess, what: str
) -> None:
    grandparent = partner(sandbox, "Grand A")
    parent = partner(sandbox, "Parent", parent_id=grandparent)
    partner(sandbox, "child", parent_id=parent)
    wanted = {"connection": MAIN, "model": "res.partner", "filter": 'parent_id.parent_id.country_id.code = "US"'}

    async def count() -> int:
        if what == "count":
            return int((await client.erp.CountRecords(erp_pb2.CountRecordsRequest(**wanted))).count)
        found = await client.erp.SearchRecords(erp_pb2.SearchRecordsRequest(fields=["name"], **wanted))
        return len(found.records)

    before = await count()
    assert await count() == before > 0
    await update(client, COUNTRY, {"code": "XX"}, "res.country")
    try:
        assert await count() == 0
    finally:
        await update(client, COUNTRY, {"code": "US"}, "res.country")
    assert await count() == before


async def test_what_another_process_wrote_while_it_was_read_is_not_kept(
    sqlite: str, cache_address: str, client: Sutler, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    one = partner(sandbox, "before")
    async with gateway(sqlite, cache_address=cache_address) as other:
        await kept(other, partner(sandbox, "another"))
        proxy[0].slow("read", 1.0)
        reading = asyncio.create_task(read(client, one))
        await wait_until(lambda: proxy[0].slowed)
        await update(other, one, {"name": "after"})
        assert (await reading)[0] == "before"
        assert [(await read(each, one))[0] for each in (client, other)] == ["after", "after"]


@pytest.mark.timeout(120)
async def test_a_cache_that_is_silent_or_killed_costs_no_answer_and_little_time(
    sqlite: str, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    one = partner(sandbox, "0")
    data = f"sqlite:///{tmp_path}/killed.db"
    async with AsyncExitStack() as stack:
        cache = stack.enter_context(ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, data=data))
        await cache.serving()
        client = await stack.enter_async_context(gateway(sqlite, cache_address=cache.address))
        await connect(client, sandbox.url)
        assert await kept(client, one) == "0"

        async def write_and_read(number: int) -> None:
            began = time.monotonic()
            await update(client, one, {"name": str(number)})
            assert (await read(client, one))[0] == str(number)
            assert time.monotonic() - began < SLOWEST

        cache.pause()
        for number in (1, 2):
            await write_and_read(number)
        cache.resume()
        assert await kept(client, one) == "2"
        writing = asyncio.create_task(write_and_read(3))
        cache.kill()
        await writing
        await write_and_read(4)
        cache.start()
        await cache.serving()
        assert await kept(client, one) == "4"
