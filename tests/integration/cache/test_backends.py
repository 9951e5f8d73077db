from __future__ import annotations

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler

from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_type_is_told_and_what_is_configured(client: Sutler, place: Place) -> None:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest())
    found = {backend.type: backend for backend in answer.backends}
    used = "sqlite" if place.data.startswith("sqlite") else "postgresql"
    assert set(found) == {"sqlite", "postgresql", "filesystem"}
    assert {name for name, backend in found.items() if backend.state == pb.Backend.STATE_READY} == {used, "filesystem"}
    assert (found[used].backend_id, found["filesystem"].backend_id) == ("local", "files")
    assert all(backend.default_backend for backend in found.values() if backend.backend_id)
    assert all(backend.builtin and backend.description for backend in found.values())


async def test_backends_are_filtered_ordered_and_paged(client: Sutler) -> None:
    blobs = await client.cache.ListBackends(pb.ListBackendsRequest(filter="kind = KIND_BLOB"))
    assert [backend.type for backend in blobs.backends] == ["filesystem"]
    request = pb.ListBackendsRequest(order_by="type desc", page_size=2)
    first = await client.cache.ListBackends(request)
    assert [backend.type for backend in first.backends] == ["sqlite", "postgresql"]
    request.page_token = first.next_page_token
    second = await client.cache.ListBackends(request)
    assert [backend.type for backend in second.backends] == ["filesystem"]
    assert not second.next_page_token
