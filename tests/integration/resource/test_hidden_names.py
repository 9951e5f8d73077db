"""Names of keys in objects that are secrets: no error tells them, as none tells the values."""

from typing import Any

import pytest
from sutler.errors import Invalid, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import to_struct

from tests.integration.resource.conftest import Tenant
from tests.integration.resource.stacking import begin, ended, get, member, stack
from tests.integration.resource.test_secrets import MACHINES, version

AUTH = {
    "type": "object",
    "writeOnly": True,
    "additionalProperties": {"type": "string", "maxLength": 30},
    "propertyNames": {"maxLength": 30},
}
SCHEMA = {"type": "object", "properties": {"size": {}, "auth": AUTH}}
KEY = "hush-hush"


async def place(tenant: Tenant) -> str:
    action = pb.TypeAction(id="rotate", parameter_schema=to_struct(SCHEMA))
    await tenant.type(
        "Custom.Org.machines", address=tenant.server.handler, versions=[version(schema=SCHEMA)], actions=[action]
    )
    return await tenant.group()


def silent(error: SutlerError) -> str:
    """Returns the field of an error that does not tell the key."""
    assert KEY not in f"{error.message} {error.metadata} {error.violations}"
    return error.violations[0].field


@pytest.mark.parametrize("auth", [{KEY: 1}, {KEY: {"x": 1}}, {KEY + "x" * 30: "a"}])
async def test_of_resources_and_actions(tenant: Tenant, auth: dict[str, Any]) -> None:
    group = await place(tenant)
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", MACHINES, {"auth": auth})
    assert silent(caught.value) == "resource.properties.auth"
    made = await tenant.made(group, "a", MACHINES)
    with pytest.raises(Invalid) as caught:
        await tenant.invoke(made.name, "rotate", {"auth": auth})
    assert silent(caught.value) == "parameters.auth"


@pytest.mark.parametrize("text", ["${", "${members.nobody.name}", "${parameters.none}"])
async def test_of_stacks(tenant: Tenant, text: str) -> None:
    group = await place(tenant)
    with pytest.raises(Invalid) as caught:
        await begin(tenant, stack(member("a", MACHINES, {"auth": {KEY: text}}), scope=group))
    assert silent(caught.value) == "stack.members[0].properties.auth"


async def test_of_runs(tenant: Tenant) -> None:
    group = await place(tenant)
    first = member("first", MACHINES, {"size": 1})
    second = member("second", MACHINES, {"auth": {KEY: "${members.first.outputs.nothing}"}})
    done = await ended(tenant, await begin(tenant, stack(first, second, scope=group)))
    assert done.HasField("error") and KEY not in str(done)
    assert KEY not in str(await get(tenant))
