"""The service is killed again and again while it applies a stack, undoes a run, and deletes the stack."""

import asyncio
import random
import uuid
from pathlib import Path

import pytest
from google.longrunning.operations_pb2 import Operation
from sutler.client import Sutler, connect
from sutler.errors import NotFound
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.wire import from_struct

from tests.integration.resource.conftest import Tenant
from tests.integration.resource.machines import Machines, serving
from tests.integration.resource.stacking import MACHINES, NAME, SERVERS, member, stack, states
from tests.integration.resource.test_crash import Process, begun, ended, patiently

KILLS = 2
CHAINS, LENGTH = 4, 4
SEED = 20261122


def members(**last: object) -> list[pb.StackMember]:
    """Chains of machines, each of which needs the one before, and a record below each."""
    found = []
    for chain in range(CHAINS):
        for link in range(LENGTH):
            of = f"${{members.m{chain}-{link - 1}.outputs.machines}}" if link else ""
            found.append(member(f"m{chain}-{link}", MACHINES, {"seconds": 0.15, "of": of}))
        found.append(member(f"r{chain}", properties={"of": f"${{members.m{chain}-{LENGTH - 1}.name}}"}))
    if last:
        needs = [f"r{chain}" for chain in range(CHAINS)]
        found.append(member("last", MACHINES, last, dependencies=needs))
    return found


async def killed_while(process: Process, s: Sutler, chance: random.Random, method: str, request: object) -> Operation:
    """Makes a call and kills the process again and again until its operation has ended, and at least so many times."""
    operation = await patiently(s, method, request)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        await process.kill()
        await process.start()
        await begun(s)
    return await asyncio.wait_for(ended(s, operation), 40)


async def lives(s: Sutler, name: str) -> tuple[int, int]:
    """Returns how often a resource was created and how often it went."""
    answer = await patiently(s, "ListResourceRevisions", pb.ListResourceRevisionsRequest(parent=name))
    assert isinstance(answer, pb.ListResourceRevisionsResponse)
    kinds = [revision.kind for revision in answer.resource_revisions]
    return kinds.count(pb.ResourceRevision.KIND_CREATED), kinds.count(pb.ResourceRevision.KIND_DELETED)


@pytest.mark.timeout(180)
async def test_kills_in_the_middle(tmp_path: Path, free_port: int) -> None:
    chance = random.Random(SEED)
    machines = Machines()
    async with serving(machines) as handler, connect(f"127.0.0.1:{free_port}", attempts=1) as s:
        process = Process(tmp_path, free_port, handler)
        await process.start()
        await begun(s)
        tenant = Tenant("default", s, None)  # type: ignore[arg-type]
        group = await tenant.group()
        await tenant.type()
        await tenant.type("Custom.Org.machines", address=handler)
        names = [
            f"{group}/providers/{MACHINES if m.type == MACHINES else SERVERS}/{m.id}" for m in members(behave="final")
        ]

        async def apply(wished: pb.Stack) -> Operation:
            request = pb.ApplyStackRequest(stack=wished, request_id=str(uuid.uuid4()))
            return await killed_while(process, s, chance, "ApplyStack", request)

        failing = await apply(stack(*members(behave="final"), scope=group))
        error = from_status(failing.error)
        assert (error.reason, error.metadata["undone"]) == ("STACK_MEMBER_FAILED", str(len(names)))
        assert [await lives(s, name) for name in names] == [(1, 1)] * len(names)
        assert machines.things == {}

        made = await apply(stack(*members(), scope=group))
        found = pb.Stack()
        assert made.response.Unpack(found) and set(states(found).values()) == {"SUCCEEDED"}
        assert [await lives(s, name) for name in names[:-1]] == [(2, 1)] * (len(names) - 1)
        owned = [name for name in names[:-1] if f"/{MACHINES}/" in name]
        assert [machines.made("default", name) for name in owned] == [1] * len(owned)
        last = await tenant.get(f"{group}/providers/{MACHINES}/m0-{LENGTH - 1}")
        assert from_struct(last.properties)["of"] == ["m0"]

        request = pb.DeleteStackRequest(name=NAME, request_id=str(uuid.uuid4()))
        gone = await killed_while(process, s, chance, "DeleteStack", request)
        assert gone.HasField("response")
        assert [await lives(s, name) for name in names[:-1]] == [(2, 2)] * (len(names) - 1)
        assert machines.things == {}
        with pytest.raises(NotFound):
            await s.resources.GetStack(pb.GetStackRequest(name=NAME))
        await process.kill()
