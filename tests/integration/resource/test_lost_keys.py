"""A lost key of secrets: what does not need them goes on, what does says so, and nothing stays for ever."""

import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.longrunning.operations_pb2 import Operation
from google.rpc.error_details_pb2 import ErrorInfo
from sutler.client import connect
from sutler.errors import FailedPrecondition, NotFound, PermissionDenied
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import from_struct, to_struct

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, database_url, everywhere, settings_for, token
from tests.integration.resource.stacking import ended, metadata
from tests.integration.resource.test_secrets import MACHINES, secret, version

NOTES = "Custom.Org/notes"
Restart = Callable[[], AbstractAsyncContextManager[Tenant]]


@pytest_asyncio.fixture(loop_scope="session")
async def restart(server: Server, tmp_path: Path) -> AsyncIterator[Restart]:
    """Starts a service over the same data, each time with another key."""
    async with database_url(server.engine, tmp_path) as url:

        @asynccontextmanager
        async def start() -> AsyncIterator[Tenant]:
            key = base64.b64encode(os.urandom(32)).decode()
            settings = settings_for(url, server.handler, secret_keys=key, plugins=[])
            name = f"t{tmp_path.name}"
            async with (
                running(app, settings, "resource") as up,
                connect(up.address, token=token(name), attempts=1) as s,
            ):
                yield Tenant(name, s, Server(up.address, server.engine, url, server.handler, server.machines))

        yield start


async def vault(tenant: Tenant) -> str:
    """Makes a group, a type of machines with secrets, and one of records with secrets."""
    group = await tenant.group()
    await tenant.type("Custom.Org.machines", address=tenant.server.handler, versions=[version()])
    await tenant.type("Custom.Org.notes", versions=[version()])
    return group


async def deleted(tenant: Tenant, name: str, **fields: Any) -> Operation:
    return await ended(tenant, await tenant.delete(name, **fields))


def reason(operation: Operation) -> str:
    detail = next(detail for detail in operation.error.details if detail.type_url.endswith("ErrorInfo"))
    found = ErrorInfo()
    detail.Unpack(found)
    return found.reason


@everywhere
async def test_records_can_be_deleted(restart: Restart) -> None:
    async with restart() as tenant:
        group = await vault(tenant)
        one = await tenant.made(group, "one", NOTES, {"password": secret()})
        await tenant.made(group, "two", NOTES, {"password": secret()})
    async with restart() as tenant:
        assert (await tenant.get(one.name)).uid == one.uid
        with pytest.raises(FailedPrecondition) as caught:
            await tenant.update(one.name, {"size": 1})
        assert caught.value.reason == "SECRET_UNREADABLE"
        assert (await deleted(tenant, one.name)).HasField("response")
        assert (await deleted(tenant, group, force=True)).HasField("response")


async def test_locks_tags_and_policies_do_not_need_them_for_a_delete(restart: Restart) -> None:
    async with restart() as tenant:
        group = await vault(tenant)
        await tenant.made(group, "one", NOTES, {"password": secret()}, tags={"keep": ""})
        keep = {"id": "keep", "effect": "EFFECT_DENY", "condition": "method == 'delete' && 'keep' in self.tags"}
        policy = await tenant.made(group, "p", "Sutler.Resource/policies", {"rules": [keep]})
    async with restart() as tenant:
        with pytest.raises(PermissionDenied) as caught:
            await tenant.delete(group, force=True)
        assert caught.value.reason == "POLICY_DENIED"
        await tenant.s.wait(await tenant.delete(policy.name))
        assert (await deleted(tenant, group, force=True)).HasField("response")


@everywhere
@pytest.mark.parametrize("below", [False, True])
async def test_what_its_handler_must_remove_fails_first_and_goes_with_force(restart: Restart, below: bool) -> None:
    async with restart() as tenant:
        group = await vault(tenant)
        made = await tenant.made(group, "a", MACHINES, {"password": secret(), "size": 1})
    async with restart() as tenant:
        target = group if below else made.name
        failed = await deleted(tenant, target, force=True)
        assert reason(failed) == "SECRET_UNREADABLE"
        stored = await tenant.get(made.name)
        assert (stored.provisioning_state, stored.state_reason) == (pb.Resource.State.STATE_FAILED, "SECRET_UNREADABLE")
        if not below:
            assert reason(await deleted(tenant, made.name)) == "SECRET_UNREADABLE"
        assert (await deleted(tenant, target, force=True)).HasField("response")
        assert not tenant.calls("Delete", made.name)
        with pytest.raises(NotFound):
            await tenant.get(made.name)
        last = (await tenant.revisions(target, recursive=True))[0]
        told = [r for r in await tenant.revisions(target, recursive=True) if r.before.findings]
        assert last.kind == pb.ResourceRevision.KIND_DELETED
        assert [found.source for found in told[0].before.findings] == ["resourceTypes/Custom.Org.machines"]


async def test_a_key_that_is_back_is_used(restart: Restart, server: Server, tmp_path: Path) -> None:
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
    hidden, name = secret(), f"t{tmp_path.name}"
    for turn, key in enumerate((keys[0], keys[1], ",".join(keys))):
        settings = settings_for(f"sqlite:///{tmp_path}/back.db", server.handler, secret_keys=key, plugins=[])
        async with running(app, settings, "resource") as up, connect(up.address, token=token(name), attempts=1) as s:
            tenant = Tenant(name, s, Server(up.address, "sqlite", "", server.handler, server.machines))
            if turn == 0:
                made = await tenant.made(await vault(tenant), "a", MACHINES, {"password": hidden})
            elif turn == 1:
                assert reason(await deleted(tenant, made.name)) == "SECRET_UNREADABLE"
            else:
                assert (await deleted(tenant, made.name, force=True)).HasField("response")
                (call,) = tenant.calls("Delete", made.name)
                assert from_struct(call.resource.properties)["password"] == hidden


@everywhere
async def test_what_was_under_way_fails_instead_of_being_tried_for_ever(restart: Restart) -> None:
    async with restart() as tenant:
        group = await vault(tenant)
        begun = await tenant.create(group, "a", MACHINES, {"password": secret(), "behave": "silent"})
        other = await tenant.create(group, "b", MACHINES, {"behave": "silent"})
    async with restart() as tenant:
        assert reason(await ended(tenant, begun)) == "SECRET_UNREADABLE"
        request = pb.AbandonOperationRequest(name=other.name)
        assert (await tenant.s.resources.AbandonOperation(request)).resource.state_reason == "ABANDONED"
        assert metadata(await ended(tenant, other)).target.endswith("/b")


@everywhere
async def test_a_stack_can_be_deleted(restart: Restart) -> None:
    hidden = secret()
    async with restart() as tenant:
        group = await vault(tenant)
        members = [
            pb.StackMember(id="a", type=NOTES, properties=to_struct({"password": "${parameters.password}"})),
            pb.StackMember(id="b", type=MACHINES, properties=to_struct({"size": 1})),
        ]
        stack = pb.Stack(name="stacks/vault", scope=group, members=members, parameters=to_struct({"password": hidden}))
        await tenant.s.wait(await tenant.s.resources.ApplyStack(pb.ApplyStackRequest(stack=stack)))
    async with restart() as tenant:
        await tenant.s.wait(await tenant.s.resources.DeleteStack(pb.DeleteStackRequest(name=stack.name)))
        with pytest.raises(NotFound):
            await tenant.s.resources.GetStack(pb.GetStackRequest(name=stack.name))
