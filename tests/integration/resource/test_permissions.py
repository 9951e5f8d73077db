"""What a caller must be permitted: whatever the letter case, and for all that a call does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sutler.client import connect
from sutler.errors import PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant, token

SUBSCRIPTIONS = "Sutler.Resource/subscriptions"


@asynccontextmanager
async def limited(tenant: Tenant, *grants: str) -> AsyncIterator[Tenant]:
    async with connect(tenant.server.address, token=token(tenant.name, *grants), attempts=1) as s:
        yield Tenant(tenant.name, s, tenant.server)


async def missing(call: Any) -> tuple[str, str]:
    """Returns the permission that a call lacks, and for what."""
    with pytest.raises(PermissionDenied) as caught:
        await call
    assert caught.value.reason == "PERMISSION_MISSING"
    return caught.value.metadata["permission"], caught.value.metadata["target"]


@pytest.mark.parametrize("name", ["subscriptions/prod", "subscriptions/Prod", "Subscriptions/PROD"])
async def test_no_spelling_gets_around_a_pattern(tenant: Tenant, name: str) -> None:
    await tenant.create("", "prod", SUBSCRIPTIONS)
    async with limited(tenant, "resource.resources.*:subscriptions/[!p]*") as s:
        assert await missing(s.delete(name)) == ("resource.resources.delete", name)


async def test_any_spelling_is_within_a_pattern(tenant: Tenant) -> None:
    group = await tenant.group("S1", "g2")
    async with limited(tenant, "resource.resources.*:subscriptions/s1/resourceGroups/G2*") as s:
        assert (await s.get("subscriptions/S1/RESOURCEGROUPS/g2")).name == group
        assert (await s.delete(group, force=True)).done
