"""Rules: checked when they are written, with revisions that never change."""

import asyncio
import uuid
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import connect
from sutler.errors import AlreadyExists, Conflict, Invalid, NotFound, PermissionDenied, SutlerError
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, create, emit, event, eventually, on_both, rule, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

FULL: dict[str, Any] = {
    "displayName": "All",
    "description": "Says all that a rule can say",
    "on": ["order.*", "invoice.**"],
    "subject": "order/*",
    "when": ["payload.total > 100", "event.type != 'x'"],
    "actions": [
        {"id": "a", "setProperty": {"property": "p", "value": None, "muted": True}},
        {"id": "b", "setProperty": {"subject": "other/${event.subject}", "property": "p", "expression": "old"}},
        {"id": "c", "setExtProperty": {"property": "p", "value": {"deep": ["${payload.x}"]}}},
        {"id": "d", "deleteProperty": {"property": "p", "ext": True}},
        {"id": "e", "emitEvent": {"event": {"type": "t", "subject": "", "data": None, "delay": "1.500s"}}},
        {"id": "f", "emitEvent": {"event": {"type": "t", "binaryData": "AAE=", "extensions": {"x": "${payload.x}"}}}},
        {"id": "g", "delay": {"duration": "2s"}},
        {"id": "h", "delay": {"expression": "duration('1s')"}},
        {**create("${payload.name}"), "id": "i"},
    ],
    "retry": {"maxAttempts": 5, "initialBackoff": "0.500s", "multiplier": 3.0, "giveUpAfter": "60s"},
    "breaker": {"maxFailures": 2, "window": "60s", "openDuration": "5s"},
    "timeout": "10s",
    "priority": -3,
    "enabled": False,
}


def shown(found: pb.Rule) -> dict[str, Any]:
    """What the caller wrote of a rule."""
    fields = json_format.MessageToDict(found)
    own = ("name", "uid", "createTime", "updateTime", "etag", "activeRevision", "latestRevision", "principal")
    return {key: value for key, value in fields.items() if key not in own}


async def get(t: Tenant, name: str) -> pb.Rule:
    return await t.s.rules.GetRule(pb.GetRuleRequest(name=name))


async def update(t: Tenant, message: pb.Rule, *paths: str, **fields: Any) -> pb.Rule:
    mask = FieldMask(paths=paths) if paths else None
    return await t.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=message, update_mask=mask, **fields))


async def revisions(t: Tenant, name: str) -> list[tuple[str, str]]:
    found = await t.s.rules.ListRuleRevisions(pb.ListRuleRevisionsRequest(parent=name))
    return [
        (r.name.rpartition("/")[2], pb.RuleRevision.State.Name(r.state).removeprefix("STATE_"))
        for r in found.rule_revisions
    ]


@on_both
async def test_a_rule_comes_back_as_it_was_written(t: Tenant) -> None:
    made = await t.rule("All", **FULL)
    assert shown(made) == shown(rule(**FULL))
    assert made == await get(t, "rules/All")
    assert (made.name, made.active_revision, made.principal) == ("rules/All", "rules/All/revisions/1", "user:anna")


async def test_a_name_is_unique_whatever_its_letter_case(t: Tenant) -> None:
    await t.rule("MyRule", on=["a"], actions=[emit("b")])
    with pytest.raises(AlreadyExists):
        await t.rule("MYRULE", on=["a"], actions=[emit("b")])
    request = pb.CreateRuleRequest(rule_id="myrule", rule=rule(on=["a"], actions=[emit("b")]), validate_only=True)
    with pytest.raises(AlreadyExists):
        await t.s.rules.CreateRule(request)
    assert (await get(t, "rules/myrule")).name == "rules/MyRule"


async def test_a_change_makes_a_revision_unless_it_is_only_about_names(t: Tenant) -> None:
    first = await t.rule("r", on=["a"], actions=[emit("b")])
    renamed = await update(t, pb.Rule(name=first.name, display_name="New", enabled=False))
    assert renamed.latest_revision == first.latest_revision
    assert renamed.etag != first.etag
    changed = await update(t, pb.Rule(name=first.name, on=["c"]), "on", "display_name")
    assert (list(changed.on), changed.display_name, changed.enabled) == (["c"], "", False)
    assert changed.active_revision == "rules/r/revisions/2"
    assert await revisions(t, "rules/r") == [("2", "ACTIVE"), ("1", "RETIRED")]
    same = await update(t, pb.Rule(name=first.name, on=["c"]))
    assert same.etag == changed.etag
    old = await t.s.rules.GetRuleRevision(pb.GetRuleRevisionRequest(name="rules/r/revisions/1"))
    assert list(old.snapshot.on) == ["a"]


@on_both
async def test_a_staged_revision_waits_to_be_activated(t: Tenant) -> None:
    await t.rule("r", on=["old"], actions=[emit("did.old")])
    staged = await update(t, pb.Rule(name="rules/r", on=["new"]), "on", staged=True)
    assert (list(staged.on), staged.active_revision) == (["old"], "rules/r/revisions/1")
    assert staged.latest_revision == "rules/r/revisions/2"
    assert await revisions(t, "rules/r") == [("2", "STAGED"), ("1", "ACTIVE")]
    await t.publish(event(type="old"), event(type="new"))
    assert [e.type for e in await t.events('type = "did*"')] == ["did.old"]
    name = "rules/r/revisions/2"
    active = await t.s.rules.ActivateRuleRevision(pb.ActivateRuleRevisionRequest(name=name, etag=staged.etag))
    assert (list(active.on), active.active_revision) == (["new"], name)
    again = await t.s.rules.ActivateRuleRevision(pb.ActivateRuleRevisionRequest(name=name))
    assert again.etag == active.etag
    await t.publish(event(type="old"), event(type="new"))
    assert len(await t.events('type = "did*"')) == 2
    with pytest.raises(Conflict):
        await t.s.rules.ActivateRuleRevision(pb.ActivateRuleRevisionRequest(name=name, etag=staged.etag))
    with pytest.raises(NotFound):
        await t.s.rules.ActivateRuleRevision(pb.ActivateRuleRevisionRequest(name="rules/r/revisions/9"))


async def test_a_rule_that_is_staged_from_the_start_fires_for_nothing(t: Tenant) -> None:
    await update(t, rule(name="rules/r", on=["a"], actions=[emit("b")]), allow_missing=True, staged=True)
    (result,) = await t.publish(event(type="a"))
    assert (await t.cascade(result.event)).execution_count == 0
    await update(t, pb.Rule(name="rules/r", on=["a"]))
    (result,) = await t.publish(event(type="a"))
    assert (await t.cascade(result.event)).execution_count == 1


async def test_etags_missing_rules_and_repeats(t: Tenant) -> None:
    with pytest.raises(NotFound):
        await update(t, rule(name="rules/r", on=["a"], actions=[emit("b")]))
    made = await update(t, rule(name="rules/r", on=["a"], actions=[emit("b")]), allow_missing=True)
    with pytest.raises(Conflict) as caught:
        await update(t, pb.Rule(name="rules/r", on=["c"], etag='"x"'))
    assert caught.value.reason == "ETAG_MISMATCH"
    request_id = str(uuid.uuid4())
    first = await update(t, pb.Rule(name="rules/r", on=["c"], etag=made.etag), request_id=request_id)
    assert await update(t, pb.Rule(name="rules/r", on=["c"], etag=made.etag), request_id=request_id) == first
    with pytest.raises(Conflict):
        await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", etag=made.etag))
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", etag=first.etag, validate_only=True))
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", etag=first.etag))
    with pytest.raises(NotFound):
        await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r"))
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", allow_missing=True))
    with pytest.raises(NotFound):
        await get(t, "rules/r")


async def test_validate_only_changes_nothing(t: Tenant) -> None:
    wanted = rule(on=["a"], actions=[emit("b")])
    request = pb.CreateRuleRequest(rule_id="r", rule=wanted, validate_only=True)
    assert (await t.s.rules.CreateRule(request)).active_revision == "rules/r/revisions/1"
    with pytest.raises(NotFound):
        await get(t, "rules/r")
    await t.rule("r", on=["a"], actions=[emit("b")])
    would = await update(t, pb.Rule(name="rules/r", on=["z"]), validate_only=True)
    assert list(would.on) == ["z"]
    assert list((await get(t, "rules/r")).on) == ["a"]


@pytest.mark.parametrize(
    ("fields", "reason", "field", "position"),
    [
        ({"on": ["a.***"]}, "PATTERN_INVALID", "on[0]", ""),
        ({"subject": "a/***"}, "PATTERN_INVALID", "subject", ""),
        ({"when": ["true", "event.typ == 'x'"]}, "EXPRESSION_INVALID", "when[1]", "1:6"),
        ({"when": ["event.time > 3"]}, "EXPRESSION_INVALID", "when[0]", "1:12"),
        ({"when": ["results.x == 1"]}, "EXPRESSION_INVALID", "when[0]", "1:8"),
        ({"when": ["(1 +"]}, "EXPRESSION_INVALID", "when[0]", "1:5"),
        ({"when": ["1 + 1"]}, "EXPRESSION_INVALID", "when[0]", ""),
        ({"actions": [emit("x-${payload.")]}, "TEMPLATE_INVALID", "actions[0].emit_event.event.type", "1:3"),
        ({"actions": [create("${nope}")]}, "TEMPLATE_INVALID", "actions[0].call_method.request.resourceId", "1:3"),
        ({"actions": [create("a", colour="red")]}, "TEMPLATE_INVALID", "actions[0].call_method.request.colour", ""),
        ({"actions": [create("a", parent={"x": 1})]}, "TEMPLATE_INVALID", "actions[0].call_method.request", ""),
        ({"actions": [{"delay": {"expression": "old"}}]}, "EXPRESSION_INVALID", "actions[0].delay.expression", "1:1"),
        ({"actions": [emit("a") | {"id": "x"}, emit("b") | {"id": "x"}]}, "FIELD_INVALID", "actions[1].id", ""),
        ({"actions": []}, "FIELD_INVALID", "actions", ""),
        ({"actions": [{"callMethod": {"method": "a.B/C"}}]}, "METHOD_UNKNOWN", "actions[0].call_method.method", ""),
        (
            {"actions": [{"callMethod": {"method": "sutler.resource.v1.ResourceService/WatchResources"}}]},
            "METHOD_UNKNOWN",
            "actions[0].call_method.method",
            "",
        ),
    ],
)
async def test_what_is_wrong_is_told_with_its_place(
    t: Tenant, fields: dict[str, Any], reason: str, field: str, position: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await t.rule("r", **{"on": ["a"], "actions": [emit("b")], **fields})
    assert (caught.value.reason, caught.value.metadata.get("field")) == (reason, field)
    assert caught.value.metadata.get("position", "") == position
    assert caught.value.violations[0].field == f"rule.{field}"


async def test_all_faults_are_told_at_once(t: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        await t.rule("r", on=["***"], when=["a", "b"], actions=[emit("${x}")])
    assert len(caught.value.violations) == 4


@pytest.mark.parametrize(
    ("action", "error", "reason"),
    [
        ({"callMethod": {"method": "sutler.erp.v1.ErpGateway/UpdateRecord"}}, PermissionDenied, "METHOD_NOT_ALLOWED"),
        ({"httpRequest": {"uri": "https://example.com/"}}, PermissionDenied, "ADDRESS_NOT_ALLOWED"),
    ],
)
async def test_what_is_not_allowed(t: Tenant, action: dict[str, Any], error: type[SutlerError], reason: str) -> None:
    with pytest.raises(error) as caught:
        await t.rule("r", on=["a"], actions=[action])
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        (create("x"), "resource.resources.create"),
        (emit("x"), "rule.events.batchPublish"),
        ({"setProperty": {"property": "p", "value": 1}}, "rule.subjects.update"),
        ({"deleteProperty": {"property": "p"}}, "rule.subjects.update"),
    ],
)
async def test_an_author_needs_what_the_actions_need(t: Tenant, action: dict[str, Any], permission: str) -> None:
    wanted = rule(on=["a"], actions=[action])
    async with connect(t.server.address, token=token(t.name, "rule.rules.*")) as weak:
        with pytest.raises(PermissionDenied) as caught:
            await weak.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=wanted))
    assert caught.value.metadata["permission"] == permission
    async with connect(t.server.address, token=token(t.name, "rule.rules.create", permission)) as able:
        assert (await able.rules.CreateRule(pb.CreateRuleRequest(rule_id="r", rule=wanted))).name == "rules/r"


async def test_what_is_under_way_ends_with_the_revision_it_began_with(t: Tenant) -> None:
    t.script.gate.clear()
    await t.rule("r", on=["a"], actions=[create("one"), emit("from.one")])
    await t.publish(event(type="a", subject="s"), event(type="a", subject="s"), wait=False)
    await eventually(lambda: _of(t.script.calls))
    await update(t, rule(name="rules/r", actions=[emit("from.two")]), "actions")
    await t.publish(event(type="a", subject="s"), wait=False)
    t.script.gate.set()
    await eventually(lambda: _all_ended(t, 3))
    assert sorted(e.type for e in await t.events('type = "from*"')) == ["from.one", "from.one", "from.two"]
    found = await t.executions(order_by="create_time")
    assert [x.rule_revision[-1] for x in found] == ["1", "1", "2"]


@on_both
async def test_deleting_by_force_cancels_what_is_under_way(t: Tenant) -> None:
    t.script.gate.clear()
    await t.rule("r", on=["a"], actions=[create("one"), emit("never")])
    results = await t.publish(*(event(type="a", subject="s") for _ in range(3)), wait=False)
    await eventually(lambda: _of(t.script.calls))
    await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/r", force=True))
    t.script.gate.set()
    found = await t.executions()
    assert {x.state for x in found} == {pb.Execution.STATE_CANCELLED}
    cascade = await t.cascade(results[0].event)
    assert (cascade.complete, cascade.state) == (True, pb.Cascade.STATE_FAILED)
    assert not await t.events('type = "never"')


@on_both
async def test_lists_of_rules(t: Tenant) -> None:
    for number in range(5):
        await t.rule(f"r{number}", on=["a"], actions=[emit("b")], priority=number, enabled=number != 3)
    found = await t.s.rules.ListRules(
        pb.ListRulesRequest(filter="priority >= 1 enabled = true".replace(" enabled", " AND enabled"))
    )
    assert [r.name for r in found.rules] == ["rules/r1", "rules/r2", "rules/r4"]
    page = await t.s.rules.ListRules(pb.ListRulesRequest(order_by="priority desc", page_size=2))
    more = await t.s.rules.ListRules(
        pb.ListRulesRequest(order_by="priority desc", page_size=2, page_token=page.next_page_token)
    )
    assert [r.priority for r in (*page.rules, *more.rules)] == [4, 3, 2, 1]
    with pytest.raises(NotFound):
        await t.s.rules.ListRuleRevisions(pb.ListRuleRevisionsRequest(parent="rules/none"))


async def test_changes_at_the_same_time_are_not_lost(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[emit("b")])
    await asyncio.gather(
        *(
            update(t, pb.Rule(name="rules/r", display_name=f"n{i}", priority=i), "display_name", "priority")
            for i in range(8)
        )
    )
    found = await get(t, "rules/r")
    assert found.display_name == f"n{found.priority}"
    names = [name for name, _ in await revisions(t, "rules/r")]
    assert names == [str(n) for n in range(len(names), 0, -1)]


async def _of(value: Any) -> Any:
    return value


async def _all_ended(t: Tenant, count: int) -> bool:
    found = await t.executions()
    return len(found) == count and all(x.HasField("end_time") for x in found)
