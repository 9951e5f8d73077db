"""PurgeDeadLetters, and the RPCs about its operation."""

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest
from google.longrunning import operations_pb2 as lro
from google.longrunning.operations_pb2_grpc import OperationsStub
from sutler.client import connect
from sutler.errors import Invalid, NotFound
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running
from sutler.type.v1.operation_pb2 import OperationMetadata, WatchOperationRequest

from services.rule.app import app
from tests.integration.rule.conftest import (
    ENGINES,
    Tenant,
    database_url,
    emit,
    event,
    eventually,
    on_both,
    rule,
    settings_for,
    token,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def fail(t: Tenant, count: int, id: str = "bad") -> list[pb.DeadLetter]:
    await t.rule(id, on=[f"{id}.*"], when=["payload.missing"], actions=[emit("c")])
    await t.publish(*(event(type=f"{id}.a", subject=f"s/{i}", data={}) for i in range(count)))

    async def all_there() -> list[pb.DeadLetter]:
        request = pb.ListDeadLettersRequest(filter=f'rule = "rules/{id}"', page_size=1000)
        found = (await t.s.rules.ListDeadLetters(request)).dead_letters
        return list(found) if len(found) == count else []

    found: list[pb.DeadLetter] = await eventually(all_there)
    return found


async def purge(t: Tenant, filter: str, **fields: object) -> lro.Operation:
    return await t.s.rules.PurgeDeadLetters(pb.PurgeDeadLettersRequest(filter=filter, **fields))  # type: ignore[arg-type]


async def waited(t: Tenant, operation: lro.Operation) -> lro.Operation:
    request = lro.WaitOperationRequest(name=operation.name)
    request.timeout.FromSeconds(20)
    return await t.s.rules.WaitOperation(request)


def answer(operation: lro.Operation) -> pb.PurgeDeadLettersResponse:
    found = pb.PurgeDeadLettersResponse()
    assert operation.done
    assert operation.response.Unpack(found)
    return found


@on_both
async def test_without_force_it_only_tells_and_with_force_it_deletes(t: Tenant) -> None:
    letters = await fail(t, 3)
    await fail(t, 2, "other")
    told = await purge(t, 'rule = "rules/bad"')
    assert not told.name
    assert answer(told).purge_count == 3
    assert list(answer(told).purge_sample) == [letter.name for letter in reversed(letters)]
    assert len(await t.letters()) == 5
    done = await waited(t, await purge(t, 'rule = "rules/bad"', force=True))
    assert (answer(done).purge_count, list(answer(done).purge_sample)) == (3, [])
    assert {letter.rule for letter in await t.letters()} == {"rules/other"}
    assert answer(await waited(t, await purge(t, "*", force=True))).purge_count == 2
    assert answer(await purge(t, "*")).purge_count == 0


@on_both
async def test_a_repeat_answers_as_the_first_and_tells_of_one_operation(t: Tenant) -> None:
    await fail(t, 2)
    id_ = str(uuid.uuid4())
    first, second = await asyncio.gather(*(purge(t, "*", force=True, request_id=id_) for _ in range(2)))
    assert first.name == second.name
    with pytest.raises(Invalid) as raised:
        await purge(t, "state = OPEN", force=True, request_id=id_)
    assert raised.value.reason == "REQUEST_ID_REUSED"
    await waited(t, first)
    listed = await t.s.rules.ListOperations(lro.ListOperationsRequest(name="ruleOperations"))
    assert [operation.name for operation in listed.operations] == [first.name]
    metadata = OperationMetadata()
    assert listed.operations[0].metadata.Unpack(metadata)
    assert (metadata.method, metadata.progress_percent, metadata.creator) == ("PurgeDeadLetters", 100, "user:anna")
    await t.s.rules.CancelOperation(lro.CancelOperationRequest(name=first.name))
    assert (await t.s.rules.GetOperation(lro.GetOperationRequest(name=first.name))).HasField("response")


async def test_a_watch_follows_an_operation_to_its_end(t: Tenant) -> None:
    await fail(t, 1)
    operation = await purge(t, "*", force=True)
    seen = [message async for message in t.s.rules.WatchOperation(WatchOperationRequest(name=operation.name))]
    assert answer(seen[-1].operation).purge_count == 1
    assert not any(message.operation.done for message in seen[:-1])
    with pytest.raises(NotFound):
        async for _ in t.s.rules.WatchOperation(WatchOperationRequest(name="ruleOperations/none")):
            pass


async def test_operations_of_another_tenant_are_not_there(t: Tenant) -> None:
    operation = await purge(t, "*", force=True)
    async with connect(t.server.address, token=token("another")) as other:
        with pytest.raises(NotFound):
            await other.rules.GetOperation(lro.GetOperationRequest(name=operation.name))
    async with grpc.aio.insecure_channel(t.server.address) as channel:
        metadata = (("authorization", f"Bearer {token(t.name)}"),)
        shared = OperationsStub(channel)  # type: ignore[no-untyped-call]
        got = await shared.GetOperation(lro.GetOperationRequest(name=operation.name), metadata=metadata)
    assert got.name == operation.name


@pytest.mark.parametrize(("filter", "reason"), [("", "FIELD_INVALID"), ("nonsense = 1", "FILTER_INVALID")])
async def test_a_wrong_filter_is_refused(t: Tenant, filter: str, reason: str) -> None:
    for force in (False, True):
        with pytest.raises(Invalid) as raised:
            await purge(t, filter, force=force)
        assert raised.value.reason == reason
        assert raised.value.violations[0].field == "filter"


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_purge_goes_on_after_a_restart(engine: str, tmp_path: Path) -> None:
    async with database_url(engine, tmp_path) as url:
        async with running(app, settings_for(url), "rule") as up, connect(up.address, token=token("t")) as s:
            bad = rule(on=["a"], when=["payload.missing"], actions=[emit("c")])
            await s.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=bad))
            events = [event(type="a", subject=f"s/{i}", data={}) for i in range(20)]
            await s.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=events, wait=True))
            operation = await s.rules.PurgeDeadLetters(pb.PurgeDeadLettersRequest(filter="*", force=True))
        async with running(app, settings_for(url), "rule") as up, connect(up.address, token=token("t")) as s:
            request = lro.WaitOperationRequest(name=operation.name)
            request.timeout.FromSeconds(20)
            assert answer(await s.rules.WaitOperation(request)).purge_count == 20
            assert not (await s.rules.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters
