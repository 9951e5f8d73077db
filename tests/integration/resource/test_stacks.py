"""Stacks: members are made, changed and removed together, in the order in which they need another."""

from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct

from tests.integration.resource.conftest import Tenant, everywhere
from tests.integration.resource.stacking import MACHINES, NAME, SERVERS, ST, applied, get, member, stack, states


@everywhere
async def test_the_whole_way(tenant: Tenant) -> None:
    group = await tenant.group()
    await tenant.type()
    await tenant.machine_type()
    wished = stack(
        member("site", properties={"of": "${members.net.name}", "machines": "${members.net.outputs.machines}"}),
        member("net", MACHINES, {"count": "${parameters.count}"}, tags={"team": "t-${parameters.team}"}),
        scope=group,
        parameters={"count": 2, "team": 7},
        output_values={"first": "${members.net.outputs.machines.0}", "text": "$${x} of ${members.site.name}"},
    )
    made = await applied(tenant, wished)
    names = {id: f"{group}/providers/{MACHINES if id == 'net' else SERVERS}/{id}" for id in ("net", "site")}
    assert (made.state, made.operation, made.HasField("error")) == (ST.STATE_SUCCEEDED, "", False)
    assert states(made) == {"site": "SUCCEEDED", "net": "SUCCEEDED"}
    assert {s.member: s.resource for s in made.member_states} == names
    assert from_struct(made.outputs) == {"first": "m0", "text": f"${{x}} of {names['site']}"}
    assert made == await get(tenant)
    site, net = await tenant.get(names["site"]), await tenant.get(names["net"])
    assert from_struct(site.properties) == {"of": names["net"], "machines": ["m0", "m1"]}
    assert (from_struct(net.properties), dict(net.tags)) == ({"count": 2}, {"team": "t-7"})
    assert (site.stack, net.stack) == (NAME, NAME)
    assert site.revision > net.revision
    log = await tenant.revisions(names["net"])
    C = pb.ResourceRevision.Cause
    assert [(entry.cause, entry.origin, entry.method) for entry in log if entry.kind == entry.KIND_CREATED] == [
        (C.CAUSE_STACK, NAME, "ApplyStack")
    ]
