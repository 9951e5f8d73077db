"""ReplayDeadLetters: open dead letters are tried again, and the operation tells how that ended."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import Invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running
from sutler.type.v1.operation_pb2 import OperationMetadata, PlannedStep

from services.rule.app import app
from tests.integration.rule.conftest import (
    ENGINES,
    RESOURCES,
    Tenant,
    create,
    database_url,
    emit,
    event,
    eventually,
    on_both,
    rule,
    settings_for,
    token,
)
from tests.integration.rule.test_purging import waited

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONCE: dict[str, Any] = {"retry": {"maxAttempts": 1}, "breaker": {"disabled": True}}


async def replay(t: Tenant, filter: str = "*", **fields: Any) -> lro.Operation:
    return await t.s.rules.ReplayDeadLetters(pb.ReplayDeadLettersRequest(filter=filter, **fields))


def answer(operation: lro.Operation) -> tuple[int, int, int]:
    found = pb.ReplayDeadLettersResponse()
    assert operation.done, operation
    assert operation.response.Unpack(found), operation
    return found.execution_count, found.success_count, found.failure_count


def metadata(operation: lro.Operation) -> OperationMetadata:
    found = OperationMetadata()
    assert operation.metadata.Unpack(found)
    return found


def look() -> dict[str, Any]:
    return {"callMethod": {"method": f"{RESOURCES}/GetResource", "request": {"name": "${results.first.name}"}}}


async def failed(t: Tenant, count: int) -> None:
    """Leaves dead letters of a rule whose first call went well and whose second one did not."""
    await t.rule("r", on=["a"], actions=[{"id": "first", **create("c")}, look(), emit("done")], **ONCE)
    t.script.broken["GetResource"] = lambda: Invalid("no")
    await t.publish(*(event(id=f"e{i}", type="a", subject=f"s/{i}") for i in range(count)))
    await eventually(lambda: in_state(t, "OPEN", count))


async def in_state(t: Tenant, state: str, count: int) -> list[pb.DeadLetter]:
    request = pb.ListDeadLettersRequest(filter=f"state = {state}")
    found = list((await t.s.rules.ListDeadLetters(request)).dead_letters)
    return found if len(found) == count else []


@on_both
async def test_open_letters_go_on_after_their_last_answer_and_are_resolved(t: Tenant) -> None:
    await failed(t, 3)
    planned = await replay(t, validate_only=True)
    assert (planned.name, answer(planned)) == ("", (3, 0, 0))
    (step,) = metadata(planned).plan
    assert (step.action, step.target, step.count) == (PlannedStep.ACTION_UPDATE, "rules/r", 3)
    assert len(await in_state(t, "OPEN", 3)) == 3
    t.script.broken.clear()
    id_ = str(uuid.uuid4())
    first, second = await asyncio.gather(*(replay(t, request_id=id_) for _ in range(2)))
    assert first.name == second.name
    done = await waited(t, first)
    assert answer(done) == (3, 3, 0)
    assert metadata(done).target == "deadLetters"
    assert len(await in_state(t, "RESOLVED", 3)) == 3
    assert len(t.script.ids) == 3
    assert len(await t.events('type = "done"')) == 3
    assert answer(await waited(t, await replay(t))) == (0, 0, 0)


@on_both
async def test_a_letter_whose_execution_fails_again_stays_open(t: Tenant) -> None:
    await failed(t, 2)
    assert answer(await waited(t, await replay(t, 'event != "x"'))) == (2, 0, 2)
    assert {letter.replay_count for letter in await in_state(t, "OPEN", 2)} == {1}


async def test_with_restart_all_is_done_again_under_new_keys(t: Tenant) -> None:
    await failed(t, 1)
    t.script.broken.clear()
    planned = await replay(t, validate_only=True, restart=True)
    assert metadata(planned).plan[0].action == PlannedStep.ACTION_CREATE
    assert answer(await waited(t, await replay(t, restart=True))) == (1, 1, 0)
    keys = [seen.key for seen in t.script.calls if seen.method == "CreateResource"]
    assert len(set(keys)) == 2


async def test_a_letter_whose_rule_is_gone_stays_open_and_counts_as_failed(t: Tenant) -> None:
    await failed(t, 1)
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r"))
    assert answer(await waited(t, await replay(t, restart=True))) == (1, 0, 1)
    assert await in_state(t, "OPEN", 1)


async def test_it_is_no_faster_than_it_may_be_and_stops_when_it_is_asked_to(t: Tenant) -> None:
    await failed(t, 4)
    began = time.monotonic()
    assert answer(await waited(t, await replay(t, max_rate=4))) == (4, 0, 4)
    assert time.monotonic() - began > 0.7
    operation = await replay(t, max_rate=1)
    await eventually(lambda: in_state(t, "OPEN", 4))
    await t.s.rules.CancelOperation(lro.CancelOperationRequest(name=operation.name))
    ended = await waited(t, operation)
    assert metadata(ended).state == OperationMetadata.STATE_CANCELLED
    counts = sorted(letter.replay_count for letter in await eventually(lambda: in_state(t, "OPEN", 4)))
    assert counts[0] == 1


@pytest.mark.parametrize("engine", ENGINES)
async def test_it_needs_neither_the_event_nor_the_execution(engine: str, tmp_path: Path) -> None:
    fast: dict[str, Any] = {"keep_events_days": 1e-6, "keep_executions_days": 1e-6, "sweep_seconds": 0.1}
    async with (
        database_url(engine, tmp_path) as url,
        running(app, settings_for(url, **fast), "rule") as up,
        connect(up.address, token=token("t")) as s,
    ):
        bad = rule(on=["a"], when=["subject.properties.ready"], actions=[emit("done", data="${payload}")], **ONCE)
        await s.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=bad))
        published = event(type="a", subject="s", data={"n": 7})
        await s.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=[published], wait=True))

        async def swept() -> bool:
            events = await s.rules.ListEvents(pb.ListEventsRequest())
            executions = await s.rules.ListExecutions(pb.ListExecutionsRequest())
            return not events.events and not executions.executions

        await eventually(swept)
        ready = json_format.ParseDict({"name": "subjects/s", "properties": {"ready": True}}, pb.Subject())
        await s.rules.UpdateSubject(pb.UpdateSubjectRequest(subject=ready, allow_missing=True))
        emitted = pb.Rule(name="rules/keep")
        json_format.ParseDict(
            {"on": ["done"], "actions": [{"setProperty": {"property": "n", "value": "${payload.n}"}}]}, emitted
        )
        await s.rules.UpdateRule(pb.UpdateRuleRequest(rule=emitted, allow_missing=True))
        operation = await s.rules.ReplayDeadLetters(pb.ReplayDeadLettersRequest(filter="*"))

        async def written() -> bool:
            found = await s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/s"))
            return dict(found.properties).get("n") == 7

        await eventually(written)
        request = lro.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(20)
        assert answer(await s.rules.WaitOperation(request))[0] == 1
        await eventually(swept)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_replay_goes_on_after_a_restart(engine: str, tmp_path: Path) -> None:
    async with database_url(engine, tmp_path) as url:
        async with running(app, settings_for(url), "rule") as up, connect(up.address, token=token("t")) as s:
            bad = rule(on=["a"], when=["payload.missing"], actions=[emit("c")])
            await s.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=bad))
            events = [event(type="a", subject=f"s/{i}", data={}) for i in range(6)]
            await s.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=events, wait=True))
            request = pb.ReplayDeadLettersRequest(filter="*", max_rate=5)
            operation = await s.rules.ReplayDeadLetters(request)
        async with running(app, settings_for(url), "rule") as up, connect(up.address, token=token("t")) as s:
            wait = lro.WaitOperationRequest(name=operation.name)
            wait.timeout.FromSeconds(20)
            assert answer(await s.rules.WaitOperation(wait)) == (6, 0, 6)
            letters = (await s.rules.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters
            assert {letter.replay_count for letter in letters} == {1}


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"filter": ""}, "FIELD_INVALID", "filter"),
        ({"filter": "nonsense = 1"}, "FILTER_INVALID", "filter"),
        ({"max_rate": -1}, "FIELD_INVALID", "max_rate"),
        ({"request_id": "x"}, "FIELD_INVALID", "request_id"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(t: Tenant, fields: Any, reason: str, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        await replay(t, **fields)
    assert (raised.value.reason, raised.value.violations[0].field) == (reason, field)
