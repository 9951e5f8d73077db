"""What takes long is done in threads, so that other calls are answered meanwhile."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sutler.interceptors import validation
from sutler.resource.v1 import resource_pb2 as pb

from services.resource import declaring, policy_rules
from services.resource.adapters.store import DatabaseStore
from services.resource.declaring import QUICK_BYTES, QUICK_QUOTAS
from tests.integration.resource.conftest import Tenant
from tests.integration.resource.test_policies import policy, rule

SERVERS = "Custom.Org/servers"
LARGE = {f"k{number}": {"v": number} for number in range(QUICK_BYTES // 4)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Notes which declared changes are said to be quick; those of attempts, which go on meanwhile, are not noted."""
    found: list[bool] = []
    write = DatabaseStore.write

    async def noted(self: DatabaseStore, tenant: str, fn: Callable[[Any], Any], *, quick: bool = False) -> Any:
        if fn.__module__ == declaring.__name__:
            found.append(quick)
        return await write(self, tenant, fn, quick=quick)

    monkeypatch.setattr(DatabaseStore, "write", noted)
    return found


def on_loop(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[bool]:
    """Notes whether each call of a function is made on the event loop."""
    found: list[bool] = []
    function = getattr(module, name)

    def noted(*args: Any, **keywords: Any) -> Any:
        found.append(threading.current_thread() is threading.main_thread())
        return function(*args, **keywords)

    monkeypatch.setattr(module, name, noted)
    return found


async def test_large_properties(tenant: Tenant, quick: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    await tenant.type()
    group = await tenant.group()
    small = await tenant.made(group, "a", SERVERS, {"size": 1})
    assert quick.pop() is True
    prepared, validated = on_loop(monkeypatch, declaring, "prepared"), on_loop(monkeypatch, validation, "_validate")
    large = await tenant.made(group, "b", SERVERS, LARGE)
    assert (prepared, validated[0], quick.pop()) == ([False], False, False)
    await tenant.update(large.name, tags={"a": "b"})
    assert (prepared.pop(), quick.pop()) == (False, False)
    await tenant.update(large.name, dict.fromkeys(LARGE))
    assert (prepared.pop(), quick.pop()) == (False, False)
    for name in (small.name, large.name):
        await tenant.update(name, {"size": 2})
        assert (prepared.pop(), quick.pop()) == (True, True)


async def test_many_quotas(tenant: Tenant, quick: list[bool]) -> None:
    await tenant.type()
    group = await tenant.group()
    for scope, many in (("", QUICK_QUOTAS // 2), ("subscriptions/shop", QUICK_QUOTAS - QUICK_QUOTAS // 2)):
        for number in range(many):
            await tenant.made(scope, f"q{number}", "Sutler.Resource/quotas", {"limit": 1000})
    await tenant.made(group, "a", SERVERS)
    assert quick.pop() is True
    await tenant.made(group, "one", "Sutler.Resource/quotas", {"limit": 1000})
    await tenant.made(group, "b", SERVERS)  # may be proposed of what was last known
    await tenant.made(group, "c", SERVERS)
    assert quick.pop() is False
    used = await tenant.s.resources.GetResource(pb.GetResourceRequest(name=f"{group}/quotas/one"))
    assert used.outputs["used"] == 3


async def test_rules_of_policies_are_compiled_once(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    await tenant.type()
    group = await tenant.group()
    compiled = on_loop(monkeypatch, policy_rules, "_rule")
    long = " || ".join(f"self.name == 'something{number}'" for number in range(100))
    await policy(tenant, group, *(rule(f"r{number}", "DENY", long) for number in range(10)))
    await tenant.made(group, "a", SERVERS)
    assert compiled == [False] * 10
