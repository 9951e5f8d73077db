"""Hot records come from the gateway's own memory, which tells nothing that a write has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.testing import free_port, wait_until
from sutler.wire import from_struct

from services.erp.adapters.answers import cache_calls, nearby
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Proxy
from tests.integration.erp.test_cache_api import cached, caching, name_of, partner, update

ORIGINS = erp_pb2.DataSource
NEAR, FAR, FRESH = ORIGINS.ORIGIN_NEAR_CACHE, ORIGINS.ORIGIN_CACHE_SERVICE, ORIGINS.ORIGIN_ERP


async def near(client: Sutler, record_id: int) -> str:
    """Waits until a record comes from memory, and returns its name."""

    async def there() -> bool:
        return (await name_of(client, record_id))[1] == NEAR

    await wait_until(there, 20)
    return (await name_of(client, record_id))[0]


async def test_a_write_through_any_gateway_drops_what_is_near(
    sqlite: str, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    one, other = partner(sandbox, "near"), partner(sandbox, "untouched")
    async with (
        caching(tmp_path) as address,
        gateway(sqlite, cache_address=address) as here,
        gateway(sqlite, cache_address=address) as there,
    ):
        await connect(here, sandbox.url)
        for client in (here, there):
            assert (await near(client, one), await near(client, other)) == ("near", "untouched")
        await here.erp.UpdateRecord(update(one, {"name": "changed"}))
        assert await name_of(here, one) == ("changed", FRESH)

        async def followed() -> bool:
            return (await name_of(there, one))[0] == "changed"

        await wait_until(followed, 10)
        for client in (here, there):
            assert await near(client, one) == "changed"
            assert (await name_of(client, other))[1] in (NEAR, FAR)  # far if the other gateway put it too


async def test_what_is_near_goes_when_the_feed_breaks(sqlite: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    one, port = partner(sandbox, "near"), free_port()
    async with gateway(sqlite, cache_address=f"127.0.0.1:{port}") as client:
        await connect(client, sandbox.url)
        async with caching(tmp_path, port):
            await near(client, one)
        sandbox.call("res.partner", "write", [one], {"name": "while nobody told"})

        async def dropped() -> bool:
            return await name_of(client, one) == ("while nobody told", FRESH)

        await wait_until(dropped, 5)


async def test_concurrent_reads_share_calls_to_the_cache_and_the_erp(
    sqlite: str,
    tmp_path: Path,
    proxy: tuple[Proxy, str],
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name in ((cache_calls, "TIMEOUT_SECONDS"), (nearby, "MARK_SECONDS")):
        monkeypatch.setattr(module, name, 20.0)  # on a busy machine too, nothing is given up
    lossy, url = proxy
    ids = [partner(sandbox, f"cold {number}") for number in range(32)]
    async with cached(tmp_path) as (cache, address), gateway(sqlite, cache_address=address) as client:
        await connect(client, url)
        await near(client, partner(sandbox, "first"))
        before = lossy.count("read")
        found = await asyncio.gather(*(name_of(client, one) for one in ids))
        assert found == [(f"cold {number}", FRESH) for number in range(32)]
        assert lossy.count("read") - before <= 16  # of 64: country codes are read too
        assert {(await name_of(client, one))[1] for one in ids} == {NEAR}

        async def far() -> bool:
            kept = await cache.cache.ListEntries(cache_pb2.ListEntriesRequest(cache="caches/erp", page_size=1000))
            return sum("/res.partner/" in entry.key for entry in kept.entries) == 33

        await wait_until(far, 20)
    async with caching(tmp_path) as address, gateway(sqlite, cache_address=address) as client:
        found = await asyncio.gather(*(name_of(client, one) for one in ids))
        assert {origin for _, origin in found} == {FAR}


async def test_a_gateway_that_works_alone_needs_no_cache_service(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    lossy, url = proxy
    one, parent = partner(sandbox, "alone"), partner(sandbox, "Old Parent")
    sandbox.call("res.partner", "write", [one], {"parent_id": parent})
    read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=one, fields=["parent_id"])
    async with gateway(sqlite, alone=True) as client:
        await connect(client, url)
        assert [(await name_of(client, one))[1] for _ in range(2)] == [FRESH, NEAR]
        title = from_struct((await client.erp.GetRecord(read)).values)["parent_id"]["display_name"]
        assert title == "Old Parent"
        await client.erp.UpdateRecord(update(parent, {"name": "New Parent"}))
        title = from_struct((await client.erp.GetRecord(read)).values)["parent_id"]["display_name"]
        assert title == "New Parent"
        lossy.slow("read", 0.5)
        reading = asyncio.create_task(name_of(client, one, read_options=erp_pb2.ReadOptions(max_staleness={})))
        await wait_until(lambda: lossy.slowed)
        await client.erp.UpdateRecord(update(one, {"name": "meanwhile"}))
        await reading
        assert (await name_of(client, one))[0] == "meanwhile"
    async with gateway(sqlite) as client:  # not alone: nothing is kept
        assert [(await name_of(client, one))[1] for _ in range(2)] == [FRESH, FRESH]
