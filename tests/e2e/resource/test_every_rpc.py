"""Every RPC of ResourceService through a real Envoy, by gRPC and by REST: one that works, and errors."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.message import Message
from google.rpc import code_pb2
from sutler.resource.v1 import resource_pb2 as pb
from sutler.type.v1 import operation_pb2
from sutler.wire import from_struct, to_struct

from tests.e2e.gateway.stack import service_behind
from tests.e2e.ways import WAYS, Caller
from tests.integration.resource.machines import Machines, serving

SERVICE = pb.DESCRIPTOR.services_by_name["ResourceService"]
MACHINES = "Custom.Org/machines"
PEERS = {"peers": "${members.first.outputs.machines}"}

pytestmark = pytest.mark.xdist_group("resource")


class Handler:
    """The tests' ResourceHandler, in a thread of its own."""

    def __init__(self) -> None:
        self.machines: Machines
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._up, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def __enter__(self) -> "Handler":
        self._thread.start()
        assert self._up.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self.machines = Machines()
        async with serving(self.machines) as self.address:
            self._up.set()
            await self._end.wait()


@pytest.fixture(scope="module")
def gateway_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("resource")
    settings = {"data": f"sqlite:///{folder}/resource.db", "wait_seconds": 1}
    with Handler() as handler:
        addresses = f'["{handler.address}"]'
        with service_behind(folder, "resource", handler_addresses=addresses, **settings) as up:
            MACHINES_AT["address"] = handler.address
            yield up.address


MACHINES_AT: dict[str, str] = {}


def unpacked(operation: lro.Operation, kind: type[Message]) -> Any:
    assert operation.done and not operation.HasField("error"), operation
    message = kind()
    assert operation.response.Unpack(message)
    return message


@pytest.mark.parametrize("way", WAYS)
def test_every_rpc(gateway_address: str, way: str) -> None:
    call = Caller(gateway_address, SERVICE, way)
    shop, group = f"subscriptions/{way}", f"subscriptions/{way}/resourceGroups/g"
    types_work(call, way)
    resources_work(call, way, shop, group)
    history_is_told(call, group)
    operations_work(call, group)
    stacks_work(call, way, group)
    all_is_deleted(call, way, shop)
    assert not call.missed()


def types_work(call: Caller, way: str) -> None:
    type = pb.ResourceType(versions=[pb.TypeVersion(version="v1")], actions=[pb.TypeAction(id="restart")])
    type.handler.remote.address = MACHINES_AT["address"]
    if way == "grpc":
        call("CreateResourceType", pb.CreateResourceTypeRequest(resource_type_id="A.B.x", resource_type=type))
    else:
        call("CreateResourceType", pb.CreateResourceTypeRequest(resource_type_id="A.C.x", resource_type=type))
    machines = pb.ResourceType(name="resourceTypes/Custom.Org.machines", display_name="Machine")
    machines.MergeFrom(type)
    request = pb.UpdateResourceTypeRequest(resource_type=machines, allow_missing=True)
    assert call("UpdateResourceType", request).type == MACHINES
    got = call("GetResourceType", pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.machines"))
    assert got.display_name == "Machine"
    listed = call("ListResourceTypes", pb.ListResourceTypesRequest(page_size=2, filter="builtin = true"))
    assert len(listed.resource_types) == 2 and listed.next_page_token
    wrong = pb.CreateResourceTypeRequest(resource_type_id="nonsense", resource_type=type)
    assert call.refused("CreateResourceType", wrong) == (code_pb2.INVALID_ARGUMENT, "FIELD_INVALID")
    missing = pb.GetResourceTypeRequest(name="resourceTypes/No.One.x")
    assert call.refused("GetResourceType", missing) == (code_pb2.NOT_FOUND, "NOT_FOUND")


def resources_work(call: Caller, way: str, shop: str, group: str) -> None:
    for parent, id, type in (
        ("", way, "Sutler.Resource/subscriptions"),
        (shop, "g", "Sutler.Resource/resourceGroups"),
        (group, "a", MACHINES),
    ):
        request = pb.CreateResourceRequest(parent=parent, resource_id=id, resource=pb.Resource(type=type))
        assert unpacked(call("CreateResource", request), pb.Resource).type == type
    assert call.refused("CreateResource", request) == (code_pb2.ALREADY_EXISTS, "ALREADY_EXISTS")
    name = f"{group}/providers/Custom.Org/machines/a"
    wished = pb.Resource(name=name, properties=to_struct({"count": 2}), tags={"env": "prod"})
    changed = unpacked(call("UpdateResource", pb.UpdateResourceRequest(resource=wished)), pb.Resource)
    assert from_struct(changed.outputs) == {"machines": ["m0", "m1"]}
    assert call("GetResource", pb.GetResourceRequest(name=name)) == changed
    listing = pb.ListResourcesRequest(parent=group, filter='tags.env = "prod"', order_by="name desc", page_size=5)
    assert [resource.name for resource in call("ListResources", listing).resources] == [name]
    names = pb.BatchGetResourcesRequest(names=[name, group])
    for binding in (0, 1):
        batch = call("BatchGetResources", names, binding)
        assert [resource.name for resource in batch.resources] == [name, group]
    acted = unpacked(call("InvokeAction", pb.InvokeActionRequest(name=name, action="restart")), pb.InvokeActionResponse)
    assert acted.resource.name == name
    unknown = pb.InvokeActionRequest(name=name, action="reboot")
    assert call.refused("InvokeAction", unknown) == (code_pb2.FAILED_PRECONDITION, "ACTION_UNKNOWN")
    missing = pb.GetResourceRequest(name=f"{group}/providers/Custom.Org/machines/none")
    assert call.refused("GetResource", missing) == (code_pb2.NOT_FOUND, "NOT_FOUND")


def history_is_told(call: Caller, group: str) -> None:
    watched = call("WatchResources", pb.WatchResourcesRequest(parent=group, replay_existing=True))
    assert watched.resume_token
    revisions = call("ListResourceRevisions", pb.ListResourceRevisionsRequest(parent=group, recursive=True))
    assert revisions.resource_revisions[0].revision > revisions.resource_revisions[-1].revision
    none = lro.GetOperationRequest(name="resourceOperations/none")
    assert call.refused("GetOperation", none) == (code_pb2.NOT_FOUND, "NOT_FOUND")


def operations_work(call: Caller, group: str) -> None:
    request = pb.CreateResourceRequest(
        parent=group, resource_id="slow", resource=pb.Resource(type=MACHINES, properties=to_struct({"behave": "hang"}))
    )
    begun = call("CreateResource", request)
    assert not begun.done
    name = begun.name
    listing = lro.ListOperationsRequest(name="resourceOperations", filter="done = false")
    assert [operation.name for operation in call("ListOperations", listing).operations] == [name]
    assert not call("GetOperation", lro.GetOperationRequest(name=name)).done
    waiting = lro.WaitOperationRequest(name=name)
    waiting.timeout.FromMilliseconds(50)
    assert not call("WaitOperation", waiting).done
    assert call("WatchOperation", operation_pb2.WatchOperationRequest(name=name)).operation.name == name
    assert call("AbandonOperation", pb.AbandonOperationRequest(name=name)).operation.done
    cancel = lro.CancelOperationRequest(name=name)
    assert call.refused("CancelOperation", cancel) == (code_pb2.FAILED_PRECONDITION, "STATE_INVALID")
    request.resource_id = "other"
    other = call("CreateResource", request)
    call("CancelOperation", lro.CancelOperationRequest(name=other.name))
    assert done(call, other.name)


def done(call: Caller, name: str) -> bool:
    waiting = lro.WaitOperationRequest(name=name)
    waiting.timeout.FromSeconds(10)
    return bool(call("WaitOperation", waiting).done)


def stacks_work(call: Caller, way: str, group: str) -> None:
    members = [
        pb.StackMember(id="first", type=MACHINES, properties=to_struct({"count": 3})),
        pb.StackMember(
            id="second", type=MACHINES, properties=to_struct({"peers": "${members.first.outputs.machines}"})
        ),
    ]
    stack = pb.Stack(name=f"stacks/{way}", scope=group, members=members)
    assert len(call("PreviewStack", pb.PreviewStackRequest(stack=stack)).plan) == 2
    begun = call("ApplyStack", pb.ApplyStackRequest(stack=stack))
    assert done(call, begun.name)
    got = call("GetStack", pb.GetStackRequest(name=stack.name))
    assert got.state == pb.Stack.STATE_SUCCEEDED
    second = call("GetResource", pb.GetResourceRequest(name=f"{group}/providers/Custom.Org/machines/second"))
    assert from_struct(second.properties) == {"peers": ["m0", "m1", "m2"]} and second.stack == stack.name
    assert stack.name in [found.name for found in call("ListStacks", pb.ListStacksRequest()).stacks]
    looped = pb.Stack(name="stacks/loop", members=[pb.StackMember(id="a", type=MACHINES, dependencies=["a"])])
    refused = call.refused("ApplyStack", pb.ApplyStackRequest(stack=looped))
    assert refused == (code_pb2.INVALID_ARGUMENT, "REFERENCE_CYCLE")
    ending = call("DeleteStack", pb.DeleteStackRequest(name=stack.name))
    assert done(call, ending.name)
    assert call.refused("GetStack", pb.GetStackRequest(name=stack.name)) == (code_pb2.NOT_FOUND, "NOT_FOUND")


def all_is_deleted(call: Caller, way: str, shop: str) -> None:
    held = pb.DeleteResourceRequest(name=shop)
    assert call.refused("DeleteResource", held) == (code_pb2.FAILED_PRECONDITION, "HAS_CHILDREN")
    assert done(call, call("DeleteResource", pb.DeleteResourceRequest(name=shop, force=True)).name)
    type = "resourceTypes/A.B.x" if way == "grpc" else "resourceTypes/A.C.x"
    call("DeleteResourceType", pb.DeleteResourceTypeRequest(name=type))


@pytest.mark.parametrize("blank", ["%20", "+"])
def test_a_blank_in_a_query_is_one_however_it_is_written(gateway_address: str, blank: str) -> None:
    """Forms, and most libraries, write a plus."""
    asked = f"builtin{blank}={blank}true{blank}AND{blank}display_name{blank}={blank}%22a%2Bb%22"
    answer = httpx.get(f"http://{gateway_address}/v1/resourceTypes?filter={asked}")
    assert answer.status_code == httpx.codes.OK, answer.text
    assert not answer.json().get("resourceTypes")


def test_if_match_protects_updates_and_deletes(gateway_address: str) -> None:
    with httpx.Client(base_url=f"http://{gateway_address}/v1/resources") as http:
        body = {"type": "Sutler.Resource/subscriptions"}
        read = http.post("", params={"resourceId": "matched"}, json=body).json()["response"]["etag"]
        name, tags = "/subscriptions/matched", {"tags": {"a": "b"}}
        changed = http.patch(name, json=tags, headers={"if-match": read})
        assert changed.status_code == httpx.codes.OK, changed.text
        assert http.patch(name, json={"tags": {"a": "c"}}, headers={"if-match": read}).status_code == 409
        assert http.delete(name, headers={"if-match": read}).status_code == 409
        now = http.get(name).json()
        assert now["tags"] == tags["tags"]
        for header in ("*", now["etag"]):
            assert http.patch(name, json=tags, headers={"if-match": header}).status_code == httpx.codes.OK
        both = http.patch(name, json={**tags, "etag": now["etag"]}, headers={"if-match": read})
        assert (both.status_code, "if-match" in both.json()["message"]) == (400, True)
        assert http.post("", params={"resourceId": "n"}, json=body, headers={"if-match": "*"}).status_code == 400
        assert http.delete(name, headers={"if-match": now["etag"]}).status_code == httpx.codes.OK
