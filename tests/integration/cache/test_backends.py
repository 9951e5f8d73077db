from __future__ import annotations

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler

from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

METADATA = {"sqlite", "sqlite_memory", "postgresql", "redis", "json"}
BLOBS = {"filesystem", "memory", "s3"}


async def test_every_type_is_told_and_what_is_configured(client: Sutler, place: Place) -> None:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest())
    builtin = {backend.type: backend for backend in answer.backends if backend.builtin}
    assert set(builtin) >= METADATA | BLOBS
    local = next(backend for backend in answer.backends if backend.backend_id == "local")
    files = next(backend for backend in answer.backends if backend.backend_id == "files")
    assert local.type == ("sqlite" if place.data.startswith("sqlite") else "postgresql")
    assert (local.state, files.state) == (pb.Backend.STATE_READY, pb.Backend.STATE_READY)
    assert (files.type, files.default_backend) == ("filesystem", True)
    assert all(backend.description for backend in answer.backends)


async def test_types_tell_what_they_need_and_can(client: Sutler) -> None:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest())
    found = {backend.type: backend for backend in answer.backends}
    assert list(found["redis"].required_packages) == ["redis"]
    assert {"url", "password", "prefix"} <= set(found["redis"].options_schema["properties"])
    assert pb.Backend.CAPABILITY_SHARED in found["s3"].capabilities
    assert pb.Backend.CAPABILITY_DURABLE not in found["memory"].capabilities
    assert found["json"].max_entries == 1000
    assert list(found["memory"].compatible_types) == ["sqlite_memory"]
    assert not found["s3"].compatible_types and not found["filesystem"].compatible_types
    assert set(found["sqlite"].compatible_types) == {"filesystem", "s3"}


async def test_backends_are_filtered_ordered_and_paged(client: Sutler) -> None:
    blobs = await client.cache.ListBackends(pb.ListBackendsRequest(filter="kind = KIND_BLOB AND builtin = true"))
    assert {backend.type for backend in blobs.backends} == BLOBS
    wanted = "kind = KIND_METADATA AND builtin = true"
    request = pb.ListBackendsRequest(order_by="type desc", page_size=2, filter=wanted)
    found: list[str] = []
    while True:
        answer = await client.cache.ListBackends(request)
        found += [backend.type for backend in answer.backends]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == sorted(found, reverse=True) and set(found) == METADATA
