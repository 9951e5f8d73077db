"""Figures of a connection, over all replicas, and what monitoring sees."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import NotFound, SutlerError
from sutler.testing import free_port, wait_until
from sutler.wire import duration, seconds

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Proxy, Reply
from tests.integration.erp.test_cache_api import caching, name_of, partner, update


async def stats(client: Sutler) -> erp_pb2.ConnectionStats:
    return await client.erp.GetConnectionStats(erp_pb2.GetConnectionStatsRequest(name=f"{MAIN}/stats"))


async def test_calls_caches_and_replicas_are_counted(database: str, tmp_path: Path, sandbox: SandboxProcess) -> None:
    ids = [partner(sandbox, f"counted {number}") for number in range(8)]
    port = free_port()
    async with (
        caching(tmp_path) as address,
        gateway(database, cache_address=address, metrics_port=port) as here,
        gateway(database, cache_address=address) as there,
    ):
        await connect(here, sandbox.url)
        await asyncio.gather(*(name_of(here, one) for one in ids))
        for _ in range(2):
            await name_of(here, ids[0])
        await name_of(there, ids[1])
        with pytest.raises(SutlerError):
            await here.erp.UpdateRecord(update(ids[0], {"country_id": 987_654}))
        await here.erp.UpdateRecord(update(ids[0], {"name": "again"}))

        async def both() -> bool:
            return (await stats(here)).cache_service_hits + (await stats(here)).near_cache_hits >= 3

        await wait_until(both, 20)
        found = await stats(here)
        calls = {(one.model, one.method): one for one in found.calls}
        assert calls["res.partner", "write"].failed_count == 1
        assert calls["res.partner", "write"].call_count == 2
        assert ("", "authenticate") in calls
        assert found.total.call_count == sum(one.call_count for one in found.calls)
        assert 0 < seconds(found.total.min_latency) <= seconds(found.total.p99_latency)
        assert found.coalescing_ratio > 1
        assert found.read_requests > found.read_calls
        assert found.cache_misses >= 8
        assert found.invalidations >= 1
        assert found.open_calls == 0
        assert found.create_time.seconds <= found.update_time.seconds
        assert found.name == f"{MAIN}/stats"
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert 'method="write",model="res.partner"' in text
        assert 'status="failed"' in text
        assert 'sutler_erp_cache_operations_total{operation="get",' in text
    with pytest.raises(NotFound):
        async with gateway(database) as client:
            await client.erp.GetConnectionStats(erp_pb2.GetConnectionStatsRequest(name="connections/none/stats"))


async def test_repeated_and_refused_calls_are_counted(sqlite: str, proxy: tuple[Proxy, str]) -> None:
    lossy, url = proxy
    async with gateway(sqlite) as client:
        once = erp_pb2.RetryPolicy(max_attempts=2, initial_backoff=duration(0.01))
        await connect(
            client,
            url,
            retry_policy=once,
            breaker_policy=erp_pb2.BreakerPolicy(failure_limit=2),
        )
        await name_of(client, 10)
        lossy.replace("read", Reply(b"<html>", 502, "text/html"), 2)
        for _ in range(2):
            with pytest.raises(SutlerError):
                await name_of(client, 10)
        found = await stats(client)
        assert found.retried_calls == 1
        assert found.refused_calls >= 1
        assert [one.failed_count for one in found.calls if (one.model, one.method) == ("res.partner", "read")] == [2]
