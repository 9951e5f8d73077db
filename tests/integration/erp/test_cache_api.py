"""Reading through a real CacheService: fewer calls to the ERP, never an older answer than allowed, never an error."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Unavailable
from sutler.testing import free_port, serve, wait_until
from sutler.wire import duration, from_struct, to_struct

from services.cache.app import app as cache_app
from services.cache.settings import Settings as CacheSettings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Proxy, Reply

CACHED, FRESH = erp_pb2.DataSource.ORIGIN_CACHE_SERVICE, erp_pb2.DataSource.ORIGIN_ERP


@asynccontextmanager
async def cached(folder: Path, port: int = 0) -> AsyncIterator[tuple[Sutler, str]]:
    async with serve(cache_app, CacheSettings, data=f"sqlite:///{folder}/cache.db", port=port) as (client, running):
        yield client, running.address


@asynccontextmanager
async def caching(folder: Path, port: int = 0) -> AsyncIterator[str]:
    async with cached(folder, port) as (_, address):
        yield address


def read(partner: int, **more: Any) -> erp_pb2.GetRecordRequest:
    fields = ["name", "color", "partner_latitude", "country_id.code"]
    return erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=partner, fields=fields, **more)


def partner(sandbox: SandboxProcess, name: str) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": name, "country_id": 233, "partner_latitude": 3.0}])
    return int(made)


def update(record_id: int, values: dict[str, Any], model: str = "res.partner") -> erp_pb2.UpdateRecordRequest:
    return erp_pb2.UpdateRecordRequest(connection=MAIN, model=model, id=record_id, values=to_struct(values))


async def name_of(client: Sutler, record_id: int, **more: Any) -> tuple[str, int]:
    found = await client.erp.GetRecord(read(record_id, **more))
    return from_struct(found.values)["name"], found.source.origin


async def test_records_are_read_once_until_they_change(
    sqlite: str, tmp_path: Path, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    lossy, url = proxy
    async with caching(tmp_path) as address, gateway(sqlite, near_cache_mb=0, cache_address=address) as client:
        await connect(client, url)
        one = partner(sandbox, "cached")
        first = await client.erp.GetRecord(read(one))
        before = lossy.count("read")
        again = await client.erp.GetRecord(read(one))
        assert lossy.count("read") == before
        assert (first.source.origin, again.source.origin) == (FRESH, CACHED)
        assert (first.values, first.etag, first.update_time) == (again.values, again.etag, again.update_time)
        await client.erp.UpdateRecord(update(one, {"name": "changed"}))
        assert await name_of(client, one) == ("changed", FRESH)
        assert await name_of(client, one) == ("changed", CACHED)
        sandbox.call("res.partner", "write", [one], {"name": "behind our back"})
        assert await name_of(client, one) == ("changed", CACHED)
        now = erp_pb2.ReadOptions(max_staleness=duration(0))
        assert await name_of(client, one, read_options=now) == ("behind our back", FRESH)

        batch = erp_pb2.BatchGetRecordsRequest(
            connection=MAIN, model="res.partner", ids=[one, partner(sandbox, "second")], fields=read(one).fields
        )
        found = await client.erp.BatchGetRecords(batch)
        assert [record.source.origin for record in found.records] == [CACHED, FRESH]


async def test_searches_are_kept_until_the_model_changes(sqlite: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    async with caching(tmp_path) as address, gateway(sqlite, near_cache_mb=0, cache_address=address) as client:
        await connect(client, sandbox.url)
        one = partner(sandbox, "searched")
        request = erp_pb2.SearchRecordsRequest(
            connection=MAIN, model="res.partner", filter='name = "searched*"', fields=["name"]
        )
        assert (await client.erp.SearchRecords(request)).source.origin == FRESH
        kept = await client.erp.SearchRecords(request)
        assert (kept.source.origin, [record.id for record in kept.records]) == (CACHED, [one])
        count = erp_pb2.CountRecordsRequest(connection=MAIN, model="res.partner", filter='name = "searched*"')
        await client.erp.CountRecords(count)
        made = await client.erp.CreateRecord(
            erp_pb2.CreateRecordRequest(connection=MAIN, model="res.partner", values=to_struct({"name": "searched 2"}))
        )
        found = await client.erp.SearchRecords(request)
        assert (found.source.origin, [record.id for record in found.records]) == (FRESH, [one, made.id])
        assert (await client.erp.CountRecords(count)).count == 2


async def test_the_feed_drops_what_somebody_else_changed(sqlite: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    async with caching(tmp_path) as address, gateway(sqlite, near_cache_mb=0, cache_address=address) as client:
        await connect(client, sandbox.url)
        one = partner(sandbox, "fed")
        await client.erp.CreateSubscription(
            erp_pb2.CreateSubscriptionRequest(
                parent=MAIN,
                subscription_id="partners",
                subscription=erp_pb2.Subscription(model="res.partner", fields=["name"]),
            )
        )
        await name_of(client, one)
        assert (await name_of(client, one))[1] == CACHED
        sandbox.call("res.partner", "write", [one], {"name": "changed"})

        async def seen() -> bool:
            return (await name_of(client, one))[0] == "changed"

        await wait_until(seen, 20)


async def test_without_its_cache_the_gateway_asks_the_erp(sqlite: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    port = free_port()
    one = partner(sandbox, "before")
    async with gateway(sqlite, near_cache_mb=0, cache_address=f"127.0.0.1:{port}") as client:
        await connect(client, sandbox.url)
        assert await name_of(client, one) == ("before", FRESH)
        assert await name_of(client, one) == ("before", FRESH)

    async with gateway(sqlite, near_cache_mb=0, cache_address=f"127.0.0.1:{port}") as client:
        async with caching(tmp_path, port):

            async def kept() -> bool:
                return (await name_of(client, one))[1] == CACHED

            await wait_until(kept, 20)
        await client.erp.UpdateRecord(update(one, {"name": "while it was down"}))
        assert (await name_of(client, one))[0] == "while it was down"
        async with caching(tmp_path, port):
            # What it still has is older than the write; the gateway drops it before it reads from there again.
            await wait_until(kept, 20)
            assert (await name_of(client, one))[0] == "while it was down"


async def test_an_older_answer_helps_when_the_erp_is_down(
    sqlite: str, tmp_path: Path, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    lossy, url = proxy
    one = partner(sandbox, "stale")
    async with caching(tmp_path) as address, gateway(sqlite, near_cache_mb=0, cache_address=address) as client:
        await connect(client, url, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
        await name_of(client, one)
        lossy.replace("read", Reply(b"<html>", 502, "text/html"), 2)
        strict = erp_pb2.ReadOptions(max_staleness=duration(0))
        with pytest.raises(Unavailable):
            await name_of(client, one, read_options=strict)
        lenient = erp_pb2.ReadOptions(max_staleness=duration(0), allow_stale=True)
        found = await client.erp.GetRecord(read(one, read_options=lenient))
        assert from_struct(found.values)["name"] == "stale"
        assert found.source.stale
        assert found.source.error.code == 14


async def test_users_do_not_see_what_others_read(sqlite: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    one = partner(sandbox, "private")
    async with caching(tmp_path) as address, gateway(sqlite, near_cache_mb=0, cache_address=address) as client:
        await connect(client, sandbox.url)
        await name_of(client, one)
        assert (await name_of(client, one))[1] == CACHED
        await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(connection=erp_pb2.Connection(name=MAIN, username="demo", secret="demo"))
        )
        assert (await name_of(client, one))[1] == FRESH


async def test_only_the_gateway_reads_and_makes_what_is_kept(
    sqlite: str, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    port = free_port()
    async with (
        cached(tmp_path) as (cache, address),
        gateway(sqlite, near_cache_mb=0, cache_address=address, metrics_port=port) as client,
    ):
        await connect(client, sandbox.url)
        one, two = partner(sandbox, "Secret One"), partner(sandbox, "Secret Two")
        batch = erp_pb2.BatchGetRecordsRequest(
            connection=MAIN, model="res.partner", ids=[one, two], fields=read(one).fields
        )
        search = erp_pb2.SearchRecordsRequest(
            connection=MAIN, model="res.partner", filter=f"id = {one}", fields=["name"]
        )
        await client.erp.BatchGetRecords(batch)
        await client.erp.SearchRecords(search)
        assert (await client.erp.SearchRecords(search)).source.origin == CACHED
        kept = [
            await cache.cache.GetEntry(cache_pb2.GetEntryRequest(cache="caches/erp", key=entry.key))
            for entry in (await cache.cache.ListEntries(cache_pb2.ListEntriesRequest(cache="caches/erp"))).entries
        ]
        assert len(kept) == 3
        assert not any(b"Secret" in entry.SerializeToString() for entry in kept)
        records = [entry for entry in kept if "/search/" not in entry.key]
        forged = [(records[0].key, records[1].inline_value), (records[1].key, b"{}")]
        forged += [(entry.key, entry.inline_value[:-1] + b"x") for entry in kept if "/search/" in entry.key]
        for key, value in forged:
            put = cache_pb2.Entry(inline_value=value)
            await cache.cache.PutEntry(cache_pb2.PutEntryRequest(cache="caches/erp", key=key, entry=put))
        found = await client.erp.BatchGetRecords(batch)
        assert [from_struct(record.values)["name"] for record in found.records] == ["Secret One", "Secret Two"]
        assert {record.source.origin for record in found.records} == {FRESH}
        assert (await client.erp.SearchRecords(search)).source.origin == FRESH
        assert {record.source.origin for record in (await client.erp.BatchGetRecords(batch)).records} == {CACHED}
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert re.search(r"^sutler_erp_cache_unreadable_total\S* 3\.0$", text, re.MULTILINE)
