"""A rule does nothing that its author could not do with a call of its own."""

from typing import Any

import pytest
from sutler.client import Sutler, connect
from sutler.errors import NotFound, PermissionDenied
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import RESOURCES, Tenant, emit, event, on_both, rule, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINE = ("rule.rules.create", "rule.revisions.activate", "rule.subjects.update:subjects/mine*")


def refusal(error: Any) -> tuple[str, str, str]:
    return error.code.name, error.reason, error.metadata["permission"]


def acts(kind: str, subject: str) -> dict[str, Any]:
    value = {} if kind == "deleteProperty" else {"value": True}
    return {kind: {"property": "approved", **value, **({"subject": subject} if subject else {})}}


async def written(s: Sutler, *actions: dict[str, Any], id: str = "r") -> pb.Rule:
    wanted = rule(on=["x.go"], actions=list(actions))
    return await s.rules.CreateRule(pb.CreateRuleRequest(rule_id=id, rule=wanted))


async def refused_directly(s: Sutler) -> tuple[str, str, str]:
    """What a direct write of a foreign subject is answered with."""
    with pytest.raises(PermissionDenied) as caught:
        await s.rules.UpdateSubject(
            pb.UpdateSubjectRequest(subject=pb.Subject(name="subjects/boss"), allow_missing=True)
        )
    return refusal(caught.value)


@pytest.mark.parametrize("kind", ["setProperty", "setExtProperty", "deleteProperty"])
async def test_a_subject_that_a_rule_names_must_be_one_that_its_author_may_write(t: Tenant, kind: str) -> None:
    async with connect(t.server.address, token=token(t.name, *MINE)) as eve:
        with pytest.raises(PermissionDenied) as caught:
            await written(eve, acts(kind, "boss"))
        assert refusal(caught.value) == await refused_directly(eve)
        assert (await written(eve, acts(kind, "mine/1"))).name == "rules/r"


@on_both
@pytest.mark.parametrize("kind", ["setProperty", "deleteProperty"])
@pytest.mark.parametrize(("subject", "sent"), [("${payload.who}", "mine/0"), ("", "boss")], ids=["template", "event"])
async def test_a_subject_that_only_the_event_tells_is_checked_then(
    t: Tenant, kind: str, subject: str, sent: str
) -> None:
    async with connect(t.server.address, token=token(t.name, *MINE)) as eve:
        await written(eve, acts("setProperty", "mine/2"), acts(kind, subject))
        direct = await refused_directly(eve)
    await t.publish(event(type="x.go", subject=sent, data={"who": "boss"}))
    failed = await t.execution("r")
    assert (failed.state, failed.attempts) == (pb.Execution.STATE_FAILED, 1)
    assert refusal(from_status(failed.last_error)) == refusal(from_status(failed.actions[1].error)) == direct
    (letter,) = await t.letters()
    assert (letter.name, letter.cause) == (failed.dead_letter, pb.DeadLetter.CAUSE_NOT_RETRYABLE)
    for id_ in ("boss", "mine/2"):
        with pytest.raises(NotFound):
            await t.subject(id_)


async def test_subjects_of_ones_own_are_written(t: Tenant) -> None:
    async with connect(t.server.address, token=token(t.name, *MINE)) as eve:
        await written(eve, acts("setProperty", "${payload.who}"), acts("setProperty", ""))
    await t.publish(event(type="x.go", subject="mine/1", data={"who": "mine/2"}))
    assert await t.subject("mine/1") == await t.subject("mine/2") == {"approved": True}


async def test_who_cannot_publish_writes_no_rule_that_emits(t: Tenant) -> None:
    async with connect(t.server.address, token=token(t.name, *MINE, "rule.events.batchPublish:nothing")) as bob:
        with pytest.raises(PermissionDenied) as direct:
            await bob.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=[event(type="x.go")]))
        with pytest.raises(PermissionDenied) as caught:
            await written(bob, emit("order.confirmed"))
    assert refusal(caught.value) == refusal(direct.value)


async def test_activating_needs_the_same_rights(t: Tenant) -> None:
    await t.rule("r", on=["x.go"], actions=[acts("setProperty", "boss")])
    async with connect(t.server.address, token=token(t.name, *MINE)) as eve:
        with pytest.raises(PermissionDenied) as caught:
            await eve.rules.ActivateRuleRevision(pb.ActivateRuleRevisionRequest(name="rules/r/revisions/1"))
        assert refusal(caught.value) == await refused_directly(eve)


@on_both
async def test_no_spelling_of_a_rules_name_gets_around_a_pattern(t: Tenant) -> None:
    await t.rule("prod", on=["x.go"], actions=[acts("setProperty", "mine/1")])
    async with connect(t.server.address, token=token(t.name, "rule.rules.delete:rules/[!p]*")) as eve:
        for name in ("rules/prod", "rules/Prod"):
            with pytest.raises(PermissionDenied):
                await eve.rules.DeleteRule(pb.DeleteRuleRequest(name=name))
    assert await t.s.rules.GetRule(pb.GetRuleRequest(name="rules/prod"))


async def test_an_update_that_would_create_needs_that_permission(t: Tenant) -> None:
    wanted = rule(on=["x.go"], actions=[acts("setProperty", "mine/1")])
    wanted.name = "rules/r"
    async with connect(t.server.address, token=token(t.name, "rule.rules.update", *MINE[1:])) as eve:
        with pytest.raises(PermissionDenied) as caught:
            await eve.rules.UpdateRule(pb.UpdateRuleRequest(rule=wanted, allow_missing=True))
    assert refusal(caught.value)[2] == "rule.rules.create"
    async with connect(t.server.address, token=token(t.name, "rule.rules.update", *MINE)) as able:
        assert (await able.rules.UpdateRule(pb.UpdateRuleRequest(rule=wanted, allow_missing=True))).name == "rules/r"


async def test_operations_of_a_service_need_its_own_permission(t: Tenant) -> None:
    cancel = {"callMethod": {"method": "google.longrunning.Operations/CancelOperation", "target": RESOURCES}}
    async with connect(t.server.address, token=token(t.name, *MINE)) as eve:
        with pytest.raises(PermissionDenied) as caught:
            await written(eve, cancel)
    assert refusal(caught.value) == ("PERMISSION_DENIED", "PERMISSION_MISSING", "resource.operations.cancel")
    async with connect(t.server.address, token=token(t.name, *MINE, "resource.operations.cancel")) as able:
        assert (await written(able, cancel)).name == "rules/r"


@pytest.mark.parametrize("method", ["google.longrunning.Operations/CancelOperation", "grpc.health.v1.Health/Check"])
async def test_a_method_of_nobodys_api_needs_the_operators_leave(t: Tenant, method: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        await t.rule("r", on=["x.go"], actions=[{"callMethod": {"method": method}}])
    assert caught.value.reason == "METHOD_NOT_ALLOWED"
