"""No way in: every RPC of the service without a token, for another tenant, and with permissions for something else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.errors import SutlerError
from sutler.methods import find_method
from sutler.testing import serve

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, gateway
from tests.integration.erp.every_rpc import METHODS, MODEL, ask, fields
from tests.integration.erp.feeds import subscribe

SECRET = "x" * 32
OF_CUSTOMERS = {"GetCustomer", "ListCustomerOrders", "SearchCustomers"}
"""The driver of a connection says which model these are about, so the connection is looked up first."""

OWN = {"ListConnections", "ListDrivers", "CreateConnection"}
"""What another tenant may do: these have to do with no connection of the first."""


@pytest.fixture
async def admin(sqlite: str, sandbox: SandboxProcess) -> AsyncIterator[Sutler]:
    """A gateway that asks for tokens, with a connection and a subscription."""
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=SECRET) as (client, _):
        await connect(client, sandbox.url)
        await subscribe(client, fields=["state"])
        before = sandbox.call(MODEL, "search_read", [], ["write_date"], context={"active_test": False})
        yield client
        assert sandbox.call(MODEL, "search_read", [], ["write_date"], context={"active_test": False}) == before


async def told(client: Sutler, method: str, connection: str = MAIN, token: str = "") -> str:
    """Returns everything that a caller is told about why not; ``OK`` and the answer if it may."""
    try:
        answer = await ask(client, method, connection, {"authorization": f"Bearer {token}" if token else ""})
    except SutlerError as error:
        return f"{error.code.name} {error.reason} {error.message} {error.metadata} {error.violations}"
    return f"OK {answer}"


def token(*permissions: str, tenant: str = "default") -> str:
    return make_token(SECRET, "user:x", permissions=permissions, tenant=tenant)


def test_there_is_a_request_for_each_rpc() -> None:
    assert set(fields(MAIN)) == set(METHODS)


@pytest.mark.parametrize(
    "wrong",
    ["", "nonsense", make_token("y" * 32, "user:x", permissions=["*.*.*"])],
    ids=["none", "nonsense", "another key"],
)
async def test_without_a_good_token_nothing_is_answered(admin: Sutler, wrong: str) -> None:
    for method in METHODS:
        assert (await told(admin, method, token=wrong)).startswith("UNAUTHENTICATED"), method


async def test_permissions_for_something_else_open_nothing(admin: Sutler) -> None:
    for method in METHODS:
        own = find_method(f"/sutler.erp.v1.ErpGateway/{method}").permission
        others = {find_method(f"/sutler.erp.v1.ErpGateway/{one}").permission for one in METHODS} - {own}
        for grants in (sorted(others), [f"{own}:other/*", "erp.*.*:other/*"], [f"{own}:main/sale.*"], ["rule.*.*"]):
            answer = await told(admin, method, token=token(*grants))
            assert answer.startswith("PERMISSION_DENIED PERMISSION_MISSING"), (method, grants, answer)
            if method not in OF_CUSTOMERS:
                absent = await told(admin, method, "connections/absent", token(*grants))
                assert absent.replace("absent", "main") == answer, "tells whether there is such a connection"


async def test_another_tenant_is_told_nothing_of_what_there_is(admin: Sutler) -> None:
    everything = token("*.*.*", tenant="other")
    for method in METHODS.keys() - OWN:
        answer = await told(admin, method, token=everything)
        assert answer.startswith("NOT_FOUND"), (method, answer)
        absent = await told(admin, method, "connections/absent", everything)
        assert answer == absent.replace("absent", "main")
    assert await told(admin, "ListConnections", token=everything) == "OK "
    assert (await told(admin, "CreateConnection", token=everything)).startswith("OK")


async def test_what_was_refused_left_nothing_behind(admin: Sutler) -> None:
    for method in METHODS:
        await told(admin, method, token=token("erp.*.*:other/*"))
    kept = await told(admin, "GetConnection", token=token("*.*.*"))
    assert kept.startswith("OK") and "max_concurrency" not in kept
    assert "subscriptions/orders" in await told(admin, "GetSubscription", token=token("*.*.*"))


async def test_with_everything_each_rpc_is_reached(sqlite: str, sandbox: SandboxProcess) -> None:
    """The table is worth something only if its requests are whole: none of them stops at a check of its form."""
    async with gateway(sqlite) as client:
        for method in METHODS:
            answer = await told(client, method)
            assert not answer.startswith("INVALID_ARGUMENT"), (method, answer)
