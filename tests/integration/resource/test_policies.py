"""Policies: rules of a scope that refuse changes, leave findings, or set what is not set."""

import asyncio

import pytest
from sutler.errors import FailedPrecondition, Invalid, NotFound, PermissionDenied, SutlerError
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct, to_struct

from tests.integration.resource.conftest import Tenant, everywhere

POLICIES, GROUPS = "Sutler.Resource/policies", "Sutler.Resource/managementGroups"
SUBSCRIPTIONS = "Sutler.Resource/subscriptions"
SERVERS = "Custom.Org/servers"


def rule(id: str, effect: str, condition: str = "true", **fields: object) -> dict[str, object]:
    return {"id": id, "effect": f"EFFECT_{effect}", "condition": condition, **fields}


async def policy(tenant: Tenant, scope: str, *rules: dict[str, object], id: str = "p", **fields: object) -> str:
    made = await tenant.made(scope, id, POLICIES, {"rules": list(rules), **fields})
    return made.name


async def place(tenant: Tenant) -> str:
    await tenant.type()
    return await tenant.group()


async def denied(coroutine: object) -> PermissionDenied:
    with pytest.raises(PermissionDenied) as caught:
        await coroutine  # type: ignore[misc]
    return caught.value


@everywhere
async def test_a_rule_refuses_and_says_where_it_came_from(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await policy(
        tenant, "subscriptions/shop", rule("team", "DENY", "!('team' in self.tags)", message="tag it", field="tags")
    )
    refused = await denied(tenant.create(group, "a", SERVERS))
    assert refused.reason == "POLICY_DENIED"
    assert refused.metadata == {
        "resource": f"{group}/providers/Custom.Org/servers/a",
        "policy": name,
        "rule": "team",
        "scope": "subscriptions/shop",
    }
    assert [(v.field, v.reason) for v in refused.violations] == [("resource.tags", "team")]
    with pytest.raises(NotFound):
        await tenant.get(f"{group}/providers/Custom.Org/servers/a")
    made = await tenant.made(group, "a", SERVERS, tags={"team": "x"})
    request = pb.UpdateResourceRequest(resource=pb.Resource(name=made.name))
    request.update_mask.paths.append("tags")
    assert (await denied(tenant.s.resources.UpdateResource(request))).reason == "POLICY_DENIED"


async def test_all_rules_that_refuse_are_told(tenant: Tenant) -> None:
    group = await place(tenant)
    await policy(tenant, "", rule("one", "DENY"), rule("two", "DENY", "false"), id="top")
    await policy(tenant, group, rule("three", "DENY", "principal == 'user:anna'"))
    refused = await denied(tenant.create(group, "a", SERVERS))
    assert [violation.reason for violation in refused.violations] == ["one", "three"]
    assert (refused.metadata["policy"], refused.metadata["scope"]) == ("policies/top", "")


@everywhere
async def test_management_groups_have_policies_for_what_belongs_to_them(tenant: Tenant) -> None:
    await tenant.made("", "top", GROUPS)
    await tenant.made("", "inner", GROUPS, {"management_group": "managementGroups/top"})
    await policy(tenant, "managementGroups/top", rule("no", "DENY", "!('ok' in self.tags)"))
    refused = await denied(tenant.create("", "s", SUBSCRIPTIONS, {"management_group": "managementGroups/inner"}))
    assert refused.metadata["scope"] == "managementGroups/top"
    await tenant.made("", "s", SUBSCRIPTIONS)
    assert await denied(tenant.update("subscriptions/s", {"management_group": "managementGroups/inner"}))
    await tenant.s.wait(
        await tenant.update("subscriptions/s", {"management_group": "managementGroups/inner"}, tags={"ok": ""})
    )
    assert await denied(tenant.create("subscriptions/s", "g", "Sutler.Resource/resourceGroups"))


async def test_types_exclusions_and_enabled(tenant: Tenant) -> None:
    group = await place(tenant)
    other = (await tenant.made("subscriptions/shop", "other", "Sutler.Resource/resourceGroups")).name
    name = await policy(tenant, "", rule("no", "DENY"), types=["custom.*"], exclusions=[other])
    await tenant.made("subscriptions/shop", "third", "Sutler.Resource/resourceGroups")
    await tenant.made(other, "a", SERVERS)
    assert await denied(tenant.create(group, "a", SERVERS))
    await tenant.s.wait(await tenant.update(name, {"enabled": False}))
    await tenant.made(group, "a", SERVERS)


async def test_findings_stop_nothing(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await policy(
        tenant,
        group,
        rule("big", "AUDIT", "self.properties.size > 3", message="big one", field="properties.size"),
        rule("never", "AUDIT", "false"),
    )
    made = await tenant.made(group, "a", SERVERS, {"size": 4})
    (finding,) = made.findings
    assert (finding.source, finding.rule, finding.field) == (name, "big", "properties.size")
    changed = await tenant.s.wait(await tenant.update(made.name, {"size": 1}))
    assert isinstance(changed, pb.Resource) and not changed.findings
    unknown = await tenant.made(group, "b", SERVERS)
    assert [found.rule for found in unknown.findings] == ["big"]  # it could not be evaluated, and says so


async def test_findings_stay_beside_those_of_the_handler(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type()
    name = await policy(tenant, group, rule("seen", "AUDIT"))
    made = await tenant.made(group, "a", type, {"behave": "warn"})
    assert [found.source for found in made.findings] == [name, "resourceTypes/Custom.Org.machines"]


async def test_a_rule_that_cannot_be_evaluated_refuses(tenant: Tenant) -> None:
    group = await place(tenant)
    name = await policy(tenant, group, rule("size", "DENY", "self.properties.size > 3"))
    refused = await denied(tenant.create(group, "a", SERVERS))
    assert refused.reason == "EXPRESSION_FAILED"
    assert (refused.metadata["source"], refused.metadata["rule"]) == (name, "size")
    await tenant.made(group, "a", SERVERS, {"size": 3})


@everywhere
async def test_defaults_come_before_everything_else(tenant: Tenant) -> None:
    group = await tenant.group()
    schema = {
        "type": "object",
        "required": ["tier"],
        "properties": {"tier": {"type": "string"}, "net": {"properties": {"mtu": {"default": 1500}}}},
    }
    await tenant.type(versions=[pb.TypeVersion(version="v1", schema=to_struct(schema))])
    await policy(
        tenant,
        "subscriptions/shop",
        rule("tier", "SET_DEFAULT", field="properties.tier", value="basic"),
        rule("net", "SET_DEFAULT", field="properties.net.name", value_expression="self.properties.tier + '-net'"),
        rule("team", "SET_DEFAULT", "parent != null", field="tags.cost.centre", value="7"),
        rule("not", "SET_DEFAULT", "false", field="display_name", value="x"),
    )
    await policy(tenant, group, rule("tier", "SET_DEFAULT", field="properties.tier", value="late"))
    made = await tenant.made(group, "a", SERVERS)
    assert from_struct(made.properties) == {"tier": "basic", "net": {"name": "basic-net", "mtu": 1500}}
    assert (dict(made.tags), made.display_name) == ({"cost.centre": "7"}, "")
    other = await tenant.made(group, "b", SERVERS, {"tier": "pro"}, tags={"cost.centre": "1"})
    assert (from_struct(other.properties)["tier"], dict(other.tags)) == ("pro", {"cost.centre": "1"})


async def test_a_default_that_does_not_fit_its_field(tenant: Tenant) -> None:
    group = await place(tenant)
    await policy(tenant, group, rule("name", "SET_DEFAULT", field="display_name", value_expression="7"))
    refused = await denied(tenant.create(group, "a", SERVERS))
    assert refused.reason == "EXPRESSION_FAILED"
    assert refused.metadata["source"] == f"{group}/policies/p"
    assert (refused.metadata["rule"], refused.metadata["scope"]) == ("name", group)


@pytest.mark.parametrize(
    ("field", "value", "error", "reason", "path"),
    [
        ("location", "locations/mars", FailedPrecondition, "REFERENCE_UNRESOLVED", "resource.location"),
        ("properties.size", "big", Invalid, "RESOURCE_INVALID", "resource.properties.size"),
        ("properties.net.size", 1, Invalid, "RESOURCE_INVALID", "resource.properties.net"),
        ("properties.net", {"a": [1]}, Invalid, "RESOURCE_INVALID", "resource.properties.net"),
        ("properties.list", ["a"], Invalid, "RESOURCE_INVALID", "resource.properties.list[0]"),
        ("properties.text", "x" * 1_000_000, Invalid, "TOO_LARGE", "resource.properties"),
        ("tags.b", "x", Invalid, "TOO_LARGE", "resource.tags"),
    ],
)
async def test_who_set_what_is_wrong_is_told(
    tenant: Tenant, field: str, value: object, error: type[SutlerError], reason: str, path: str
) -> None:
    kinds = {"size": {"type": "integer"}, "net": {"type": "string"}, "list": {"items": {"type": "integer"}}}
    await tenant.type(versions=[pb.TypeVersion(version="v1", schema=to_struct({"properties": kinds}))])
    group = await tenant.group()
    name = await policy(tenant, "subscriptions/shop", rule("r", "SET_DEFAULT", field=field, value=value))
    sent = {"padding": "x" * 60_000}
    with pytest.raises(error) as caught:
        await tenant.create(group, "a", SERVERS, sent, tags={f"a{n}": "" for n in range(64)})
    told = caught.value
    assert told.reason == reason
    assert path in {told.metadata.get("field"), *(violation.field for violation in told.violations)}
    assert (told.metadata["policy"], told.metadata["rule"]) == (name, "r")
    assert told.metadata["scope"] == "subscriptions/shop"
    assert name in told.message and all(name in violation.description for violation in told.violations)


async def test_what_the_caller_sent_is_not_blamed_on_a_policy(tenant: Tenant) -> None:
    kinds = {"size": {"type": "integer"}, "sizes": {"type": "integer"}}
    await tenant.type(versions=[pb.TypeVersion(version="v1", schema=to_struct({"properties": kinds}))])
    group = await tenant.group()
    name = await policy(tenant, group, rule("r", "SET_DEFAULT", field="properties.size", value="big"))
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {"size": "large"})
    assert "policy" not in caught.value.metadata and name not in caught.value.message
    with pytest.raises(Invalid) as caught:
        await tenant.create(group, "a", SERVERS, {"sizes": "large"})
    assert {v.field: name in v.description for v in caught.value.violations} == {
        "resource.properties.size": True,
        "resource.properties.sizes": False,
    }


@everywhere
async def test_deletes_are_judged_with_all_that_goes(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", SERVERS)
    name = await policy(tenant, group, rule("stay", "DENY", "method == 'delete' && self.type == 'Custom.Org/servers'"))
    for call in (tenant.delete(made.name), tenant.delete(group, force=True)):
        refused = await denied(call)
        assert (refused.metadata["resource"], refused.metadata["policy"]) == (made.name, name)
    refused = await denied(tenant.delete("subscriptions/shop", force=True, validate_only=True))
    assert refused.metadata["rule"] == "stay"
    await tenant.s.wait(await tenant.delete(name))
    await tenant.s.wait(await tenant.delete("subscriptions/shop", force=True))


async def test_actions_are_judged(tenant: Tenant) -> None:
    group = await tenant.group()
    type = await tenant.machine_type(actions=[pb.TypeAction(id="stop"), pb.TypeAction(id="start")])
    made = await tenant.made(group, "a", type)
    await policy(tenant, group, rule("no", "DENY", "method == 'invoke' && action == 'stop'"), rule("seen", "AUDIT"))
    refused = await denied(tenant.invoke(made.name, "stop"))
    assert refused.metadata["rule"] == "no"
    await tenant.s.wait(await tenant.invoke(made.name, "start"))
    assert [found.rule for found in (await tenant.get(made.name)).findings] == ["seen"]


async def test_a_policy_never_concerns_policies(tenant: Tenant) -> None:
    await tenant.group()
    name = await policy(tenant, "", rule("nothing", "DENY"))
    assert await denied(tenant.update("subscriptions/shop", tags={"a": "b"}))
    await policy(tenant, "", rule("more", "DENY"), id="second")
    await tenant.s.wait(await tenant.delete(name))
    await tenant.s.wait(await tenant.delete("policies/second"))
    await tenant.s.wait(await tenant.update("subscriptions/shop", tags={"a": "b"}))


async def test_a_change_that_changes_nothing_is_not_refused(tenant: Tenant) -> None:
    group = await place(tenant)
    made = await tenant.made(group, "a", SERVERS, {"size": 1})
    await policy(tenant, group, rule("no", "DENY"))
    await tenant.s.wait(await tenant.update(made.name, {"size": 1}))
    assert await denied(tenant.update(made.name, {"size": 2}))


async def test_locks_come_before_policies(tenant: Tenant) -> None:
    group = await place(tenant)
    await policy(tenant, group, rule("no", "DENY"), types=["Custom.*"])
    await tenant.s.wait(await tenant.update(group, lock=pb.Resource.LOCK_READ_ONLY))
    with pytest.raises(FailedPrecondition) as caught:
        await tenant.create(group, "a", SERVERS)
    assert caught.value.reason == "LOCKED"


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([rule("a", "DENY", "self.")], "resource.properties.rules[0].condition"),
        ([rule("a", "DENY", "nobody.knows")], "resource.properties.rules[0].condition"),
        ([rule("a", "DENY"), rule("a", "AUDIT")], "resource.properties.rules[1].id"),
        ([rule("a", "SET_DEFAULT", field="type", value="x")], "resource.properties.rules[0].field"),
        ([rule("a", "SET_DEFAULT", field="properties", value="x")], "resource.properties.rules[0].field"),
        ([rule("a", "SET_DEFAULT", field="properties.a[*]", value="x")], "resource.properties.rules[0].field"),
        ([rule("a", "SET_DEFAULT", field="tags.a", value=7)], "resource.properties.rules[0].field"),
        (
            [rule("a", "SET_DEFAULT", field="tags.a", value_expression="(")],
            "resource.properties.rules[0].value_expression",
        ),
        ([rule("a", "SET_DEFAULT", field="tags.a")], "resource.properties.rules[0]"),
        ([rule("a", "SET_DEFAULT", field="tags.a", value="x", value_expression="'x'")], "resource.properties.rules[0]"),
        ([rule("a", "SET_DEFAULT", value="x")], "resource.properties.rules[0].field"),
        ([rule("a", "DENY", value="x")], "resource.properties.rules[0].value"),
        ([rule("a", "AUDIT", value_expression="'x'")], "resource.properties.rules[0].value_expression"),
        ([rule("a", "BAN")], "resource.properties.rules[0].effect"),
        ([], "resource.properties.rules"),
    ],
)
async def test_wrong_policies_are_refused(tenant: Tenant, rules: list[dict[str, object]], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await policy(tenant, "", *rules)
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_all_that_is_wrong_with_a_policy_is_told(tenant: Tenant) -> None:
    with pytest.raises(Invalid) as caught:
        await policy(
            tenant,
            "",
            rule("a", "DENY", "self."),
            rule("a", "AUDIT", "'x'"),
            rule("c", "SET_DEFAULT", "(", field="tags.a", value_expression="nobody"),
            rule("d", "DENY", value=1),
        )
    assert caught.value.reason == "EXPRESSION_INVALID"
    assert caught.value.metadata["field"] == "resource.properties.rules[0].condition"
    assert [(v.field.removeprefix("resource.properties.rules"), v.reason) for v in caught.value.violations] == [
        ("[0].condition", "EXPRESSION_INVALID"),
        ("[1].id", "DUPLICATE"),
        ("[1].condition", "EXPRESSION_INVALID"),
        ("[2].condition", "EXPRESSION_INVALID"),
        ("[2].value_expression", "EXPRESSION_INVALID"),
        ("[3].value", "EFFECT"),
    ]


@everywhere
async def test_a_new_policy_counts_for_the_very_next_change(tenant: Tenant) -> None:
    """Also for one that was on its way when the policy came."""
    group = await place(tenant)
    await tenant.made(group, "first", SERVERS)

    async def make(number: int) -> object:
        try:
            return await tenant.create(group, f"a{number}", SERVERS)
        except PermissionDenied as error:
            return error

    first = [asyncio.create_task(make(number)) for number in range(20)]
    await policy(tenant, group, rule("no", "DENY"))
    after = await make(20)
    assert isinstance(after, PermissionDenied)
    policed = next(r.revision for r in await tenant.revisions(f"{group}/policies/p"))
    await asyncio.gather(*first)
    made = await tenant.revisions(group, recursive=True, filter='resource = "*/servers/*"', page_size=100)
    assert made and all(revision.revision < policed for revision in made)
