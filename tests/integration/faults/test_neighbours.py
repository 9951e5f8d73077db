"""Neighbours that are down, and that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Code, NotFound, Unavailable
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2
from sutler.status import from_status
from sutler.testing import free_port, wait_until

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import CACHE, ERP, PROVIDER, RESOURCE, RULE, Face
from tests.integration.faults.refusals import refused

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def depending(face: Face, address: str) -> dict[str, Any]:
    """Returns settings of a service that has all its neighbours at one address."""
    settings: dict[str, dict[str, Any]] = {
        "resource": {"rule_address": address, "handler_addresses": [address]},
        "cache": {"rule_address": address},
        "erp": {"rule_address": address, "cache_address": address},
        "rule": {"targets": {RESOURCE.service: address}},
        "provider": {"rule_address": address},
    }
    return settings[face.area]


def nobody() -> str:
    """Returns an address where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("face", "neighbours"),
    [
        (RESOURCE, ["rule"]),
        (CACHE, ["rule"]),
        (ERP, ["rule", "cache"]),
        (RULE, [RESOURCE.service]),
        (PROVIDER, ["rule"]),
    ],
    ids=lambda value: value.area if isinstance(value, Face) else "",
)
async def test_what_needs_no_neighbour_goes_on(face: Face, neighbours: list[str], tmp_path: Path) -> None:
    async with face.serving(tmp_path, **depending(face, nobody())) as (s, _):
        health = health_pb2_grpc.HealthStub(s.channel)  # type: ignore[no-untyped-call]

        async def state(name: str) -> int:
            return (await health.Check(health_pb2.HealthCheckRequest(service=name))).status  # type: ignore[no-any-return]

        for name in neighbours:
            assert await state(f"neighbour.{name}") == NOT_SERVING
        assert await state("") == await state(face.service) == SERVING
        await face.prepare(s)
        await face.change(s, "made", new_id())
        await face.read(s, "made")


async def test_a_handler_that_is_down_is_no_missing_thing(tmp_path: Path) -> None:
    address = nobody()
    async with RESOURCE.serving(tmp_path, **depending(RESOURCE, address)) as (s, _):
        wanted = resource_pb2.ResourceType(versions=[resource_pb2.TypeVersion(version="v1")])
        wanted.handler.remote.address = address
        await s.resources.CreateResourceType(
            resource_pb2.CreateResourceTypeRequest(resource_type_id="Custom.Org.things", resource_type=wanted)
        )
        await RESOURCE.change(s, "sub", new_id())
        request = resource_pb2.CreateResourceRequest(
            parent="subscriptions/sub", resource_id="thing", resource=resource_pb2.Resource(type="Custom.Org/things")
        )
        with refused(RESOURCE, Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", dependency=address):
            await s.resources.CreateResource(request)
        name = "subscriptions/sub/providers/Custom.Org/things/thing"
        with pytest.raises(NotFound):
            await s.resources.GetResource(resource_pb2.GetResourceRequest(name=name))


async def test_an_erp_that_is_down_is_no_missing_record_and_no_empty_list(tmp_path: Path) -> None:
    async with ERP.serving(tmp_path, **depending(ERP, nobody())) as (s, _):
        await ERP.change(s, "main", new_id())
        where: dict[str, Any] = {"connection": "connections/main", "model": "res.partner"}
        calls = (
            s.erp.GetRecord(erp_pb2.GetRecordRequest(id=1, **where)),
            s.erp.SearchRecords(erp_pb2.SearchRecordsRequest(**where)),
            s.erp.CountRecords(erp_pb2.CountRecordsRequest(**where)),
            s.erp.DescribeModel(erp_pb2.DescribeModelRequest(**where)),
        )
        for call in calls:
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.reason in ("DEPENDENCY_UNAVAILABLE", "BREAKER_OPEN")
            assert caught.value.domain == "erp.sutler.dev"


async def test_a_target_that_is_down_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    call = {"method": f"{RESOURCE.service}/CreateResource",
            "request": {"resourceId": "made", "resource": {"type": "Sutler.Resource/subscriptions"}}}  # fmt: skip
    wanted = {"on": ["fault.tested"], "actions": [{"callMethod": call}], "retry": {"maxBackoff": "0.1s"}}
    async with RULE.serving(tmp_path, **depending(RULE, f"127.0.0.1:{port}")) as (s, _):
        rule = json_format.ParseDict(wanted, rule_pb2.Rule())
        await s.rules.CreateRule(rule_pb2.CreateRuleRequest(rule_id="r", rule=rule))
        await RULE.change(s, "sent", new_id())

        async def execution(state: str) -> rule_pb2.Execution | None:
            found = await s.rules.ListExecutions(rule_pb2.ListExecutionsRequest(filter=f"state = {state}"))
            return found.executions[0] if found.executions else None

        waiting = await wait_until(lambda: execution("WAITING"))
        assert waiting is not None
        error = from_status(waiting.last_error)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        async with RESOURCE.serving(tmp_path, port=port) as (target, _):
            await wait_until(lambda: execution("SUCCEEDED"))
            await RESOURCE.read(target, "made")


async def _order(s: Sutler, _: str, __: str) -> None:
    """Asks for a machine that cannot be started."""
    await PROVIDER.change(s, "lab", new_id())
    program = provider_pb2.ProcessSpec(command=["no-such-program"])
    template = provider_pb2.Template(provider="providers/lab", process=program)
    await s.providers.CreateTemplate(provider_pb2.CreateTemplateRequest(template_id="none", template=template))
    await s.providers.RequestMachines(provider_pb2.RequestMachinesRequest(template="templates/none", count=1))


async def _invalidate(s: Sutler, _: str, __: str) -> None:
    """Invalidates the entries of a cache that tells of it."""
    cache = cache_pb2.Cache(name="caches/told", publish_invalidations=True)
    await s.cache.UpdateCache(cache_pb2.UpdateCacheRequest(cache=cache, allow_missing=True))
    await s.cache.InvalidateEntries(cache_pb2.InvalidateEntriesRequest(cache=cache.name, all=True))


@pytest.mark.parametrize(
    ("face", "act", "told"),
    [
        (RESOURCE, RESOURCE.change, ["resource.accepted", "resource.succeeded"]),
        (CACHE, _invalidate, ["cache.invalidated"]),
        (PROVIDER, _order, ["machineRequest.pending", "machineRequest.failed"]),
    ],
    ids=["resource", "cache", "provider"],
)
async def test_events_wait_for_rule_service(face: Face, act: Any, told: list[str], tmp_path: Path) -> None:
    port = free_port()
    async with face.serving(tmp_path, **depending(face, f"127.0.0.1:{port}")) as (s, _):
        await act(s, "made", new_id())
        async with RULE.serving(tmp_path, port=port, attempts=10) as (rules, _):

            async def arrived() -> bool:
                found = await rules.rules.ListEvents(rule_pb2.ListEventsRequest())
                types = [event.type for event in reversed(found.events)]
                return [type for type in types if type in told] == told

            await wait_until(arrived)
