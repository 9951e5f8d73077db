"""What everyone in this field gets wrong, as far as no other test shows it; tests/README.md lists a test for each."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sutler.client import connect
from sutler.errors import Conflict, Invalid
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.store import Database

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, database_url, everywhere, settings_for, token
from tests.integration.resource.test_large_scopes import GROUP, Place, large

__all__ = ["large"]

ROOT = Path(__file__).resolve().parents[3]
KEYS = """
from sutler.etags import make_etag
from sutler.ids import derive
from services.resource.names import key, parse
from services.resource.scopes import Scope, uniqueness_key
scopes = frozenset(Scope)
print(uniqueness_key("A.B/c", "X", "subscriptions/s", "subscriptions/s", "managementGroups/m", scopes).hex())
print(make_etag("4b1d7e0a-6a52-4f63-9e4b-0d7d3a1f9c55", 7), derive("a", "b"), key(parse("subscriptions/S").text))
"""


def test_pitfall_hash_stability() -> None:
    """Uniqueness keys, etags, idempotency keys and keys of names are the same in every process."""
    told = {
        subprocess.run(
            [sys.executable, "-c", KEYS],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}/libs:{ROOT}"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(told) == 1 and len(told.pop().split()) == 4


@everywhere
async def test_pitfall_lost_updates(server: Server, tmp_path: Path) -> None:
    """Two services over one database, ten creates by each at once: twenty, also in what is used of a quota."""
    name = f"t{tmp_path.name}"
    async with database_url(server.engine, tmp_path) as url, AsyncExitStack() as stack:
        tenants = []
        for _ in range(2):
            up = await stack.enter_async_context(running(app, settings_for(url, plugins=[]), "resource"))
            s = await stack.enter_async_context(connect(up.address, token=token(name)))
            tenants.append(Tenant(name, s, server))
        group = await tenants[0].group()
        await tenants[0].type()
        await tenants[0].made(group, "q", "Sutler.Resource/quotas", {"limit": 100, "type": "Custom.Org/*"})
        await asyncio.gather(*(tenants[n % 2].made(group, f"a{n}", "Custom.Org/servers", {"n": n}) for n in range(20)))
        found = await tenants[1].s.resources.ListResources(
            pb.ListResourcesRequest(parent=group, type="Custom.Org/servers")
        )
        assert {resource.name.rpartition("/")[2] for resource in found.resources} == {f"a{n}" for n in range(20)}
        assert (await tenants[1].get(f"{group}/quotas/q")).outputs["used"] == 20
        stale = found.resources[0]
        await tenants[0].s.wait(await tenants[0].update(stale.name, {"n": 100}))
        with pytest.raises(Conflict) as caught:
            await tenants[1].update(stale.name, {"n": 200}, etag=stale.etag)
        assert caught.value.reason == "ETAG_MISMATCH"


@everywhere
async def test_pitfall_idempotency_after_a_restart(server: Server, tmp_path: Path) -> None:
    """The same request id and body: the first answer, and one effect, also from a process that was not there before."""
    name = f"t{tmp_path.name}"
    resource = pb.Resource(type="Sutler.Resource/subscriptions")
    request = pb.CreateResourceRequest(resource_id="s", resource=resource, request_id=str(uuid.uuid4()))
    answers = []
    async with database_url(server.engine, tmp_path) as url:
        for _ in range(2):
            settings = settings_for(url, plugins=[])
            async with running(app, settings, "resource") as up, connect(up.address, token=token(name)) as s:
                answers.append(await s.resources.CreateResource(request))
                tenant = Tenant(name, s, server)
                assert len(await tenant.revisions("subscriptions/s")) == 1
                other = pb.CreateResourceRequest()
                other.CopyFrom(request)
                other.resource.tags["x"] = "1"
                with pytest.raises(Invalid) as caught:
                    await s.resources.CreateResource(other)
                assert caught.value.reason == "REQUEST_ID_REUSED"
    assert answers[0] == answers[1]


async def test_pitfall_complexity(large: Database) -> None:
    """A create beside 5,000 others takes the CPU that it takes beside 100, with a rule, a policy and a quota."""
    place = Place(large)
    await place.fill(100)
    rule = {"id": "big", "effect": "EFFECT_DENY", "condition": "self.properties.size > 5"}
    await place.make("subscriptions/s", "p", "Sutler.Resource/policies", types=["A.B/*"], rules=[rule])
    await place.make("subscriptions/s", "q", "Sutler.Resource/quotas", limit=100_000)

    async def costs(prefix: str) -> float:
        taken = []
        for n in range(40):
            place.store.longest = 0.0
            await place.make(GROUP, f"{prefix}{n}", "A.B/c", size=1)
            taken.append(place.store.longest)
        return statistics.median(taken)

    few = await costs("few")
    await place.more(5000)
    begun = time.monotonic()
    many = await costs("many")
    assert many < 2 * few, (few, many)
    assert time.monotonic() - begun < 30
