"""Every REST binding of the contracts, called through the gateway: the RPC that arrives is the one that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from sutler.contracts import modules

from deploy.envoy.descriptors import gateway_services
from tests.e2e.gateway.stack import AREAS, Stack, gateway

VARIABLE = re.compile(r"\{([^{}=]+)(?:=([^{}]*))?\}")
SERVING = b"\x08\x01"


@dataclass(frozen=True)
class Binding:
    """One way to call an RPC by REST."""

    rpc: str
    verb: str
    path: str
    body: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class Recorder(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Stands in for every service: answers each call with an empty message, and remembers what was called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = details.method
        answer = SERVING if method.startswith("/grpc.health.") else b""

        def handle(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            if not answer:
                self.called.append(method)
            yield answer

        return grpc.unary_stream_rpc_method_handler(handle)


@dataclass
class Recorded:
    """A gateway in front of the recorder."""

    stack: Stack
    recorder: Recorder
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    recorder = Recorder()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[recorder])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with gateway(tmp_path_factory.mktemp("recorded"), {area: [port] for area in AREAS}) as up:
            made = Recorded(up, recorder)
            with made.http:
                yield made
    finally:
        server.stop(None).wait()


def bindings() -> list[Binding]:
    """Returns every binding of the services of the gateway."""
    modules()
    found = []
    for name in gateway_services():
        for method in descriptor_pool.Default().FindServiceByName(name).methods:
            rule: Any = method.GetOptions().Extensions[annotations_pb2.http]  # type: ignore[index]
            for one in (rule, *rule.additional_bindings):
                if one.WhichOneof("pattern"):
                    found.append(_binding(method, one))
    return found


def _binding(method: MethodDescriptor, rule: Any) -> Binding:
    verb = rule.WhichOneof("pattern")
    path = VARIABLE.sub(lambda match: _value(method.input_type, match[1], match[2] or "*"), getattr(rule, verb))
    return Binding(f"/{method.containing_service.full_name}/{method.name}", verb.upper(), path, bool(rule.body))


def _value(message: Descriptor, path: str, template: str) -> str:
    """Returns a value for a variable of a path, of its field's type."""
    *parents, last = path.split(".")
    for parent in parents:
        inner = message.fields_by_name[parent].message_type
        assert inner is not None
        message = inner
    if message.fields_by_name[last].cpp_type != FieldDescriptor.CPPTYPE_STRING:
        return "7"
    return template.replace("**", "some/more/parts").replace("*", "x1")


def test_all_rpcs_but_the_client_streams_have_a_binding() -> None:
    methods = [m for name in gateway_services() for m in descriptor_pool.Default().FindServiceByName(name).methods]
    bound = {binding.rpc for binding in bindings()}
    missing = {m.name for m in methods if f"/{m.containing_service.full_name}/{m.name}" not in bound}
    assert missing == {m.name for m in methods if m.client_streaming}
    assert len(bound) > 100


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_every_binding_leads_to_its_rpc(recorded: Recorded, accept: str) -> None:
    wrong = {}
    for binding in bindings():
        recorded.recorder.called.clear()
        answer = recorded.http.request(
            binding.verb,
            f"{recorded.stack.url}{binding.path}",
            json={} if binding.body else None,
            headers={"accept": accept},
        )
        if answer.status_code != 200 or recorded.recorder.called != [binding.rpc]:
            wrong[str(binding)] = (answer.status_code, answer.text, binding.rpc, list(recorded.recorder.called))
    assert not wrong
