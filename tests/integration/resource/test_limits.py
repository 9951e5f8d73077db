"""How many policies and quotas there may be in one scope: every change looks at all that hold for it."""

from pathlib import Path
from typing import Any

import pytest
from sutler.client import connect
from sutler.errors import Exhausted
from sutler.server import running
from sutler.status import from_status

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, database_url, everywhere, settings_for, token
from tests.integration.resource.stacking import begin, ended, member, stack
from tests.integration.resource.test_policies import POLICIES, policy, rule
from tests.integration.resource.test_quotas import QUOTAS

PROPERTIES: dict[str, dict[str, Any]] = {POLICIES: {"rules": [rule("a", "AUDIT")]}, QUOTAS: {"limit": 5}}


@everywhere
@pytest.mark.parametrize("type", [POLICIES, QUOTAS])
async def test_a_scope_has_no_more_than_allowed(server: Server, tmp_path: Path, type: str) -> None:
    name, properties = f"t{tmp_path.name}", PROPERTIES[type]
    async with database_url(server.engine, tmp_path) as url:
        settings = settings_for(url, plugins=[], policies_per_scope=2, quotas_per_scope=2)
        async with running(app, settings, "resource") as up, connect(up.address, token=token(name), attempts=1) as s:
            tenant = Tenant(name, s, server)
            group = await tenant.group()
            for scope in ("", "subscriptions/shop", group):
                for id in "ab":
                    made = await tenant.made(scope, id, type, properties)
                with pytest.raises(Exhausted) as caught:
                    await tenant.create(scope, "c", type, properties)
                assert caught.value.reason == "LIMIT_REACHED"
                about = {name: caught.value.metadata[name] for name in ("type", "scope", "limit")}
                assert about == {"type": type, "scope": scope, "limit": "2"}
                await tenant.s.wait(await tenant.update(made.name, tags={"still": "allowed"}))
            with pytest.raises(Exhausted) as caught:
                await begin(tenant, stack(member("z", type, properties)))
            assert caught.value.reason == "LIMIT_REACHED"
            await tenant.s.wait(await tenant.delete(made.name))
            both = stack(member("y", type, properties), member("z", type, properties), scope=group)
            run = from_status((await ended(tenant, await begin(tenant, both))).error)
            assert (run.reason, run.metadata["cause"]) == ("STACK_MEMBER_FAILED", "LIMIT_REACHED")


async def test_other_types_have_no_such_limit(tenant: Tenant) -> None:
    group = await tenant.group()
    for n in range(100):
        await policy(tenant, group, rule("a", "AUDIT", "false"), id=f"p{n}")
    await tenant.made("subscriptions/shop", "more", "Sutler.Resource/resourceGroups")
    with pytest.raises(Exhausted) as caught:
        await policy(tenant, group, rule("a", "AUDIT"), id="one-more")
    assert caught.value.metadata["limit"] == "100"
