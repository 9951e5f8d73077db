"""Calls of any RPC through the gateway: by gRPC with the generated stubs, by REST as ``google.api.http`` says."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
import httpx
import pytest
from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from tests.e2e.gateway.answers import Answer, failed, rest_error

SECONDS = 30
_VARIABLE = re.compile(r"\{([a-z_.]+)(?:=[^}]*)?\}")

Sent = Message | Sequence[Message]
"""What is sent: a request, or all messages of a client stream."""

Way = Callable[[str, MethodDescriptor, Sent, int], AbstractContextManager[Iterator[Any]]]
"""Makes a call: the gateway's address, the method, what is sent, which of its REST bindings; gives the responses."""

HTTP_STATUS = {
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.ABORTED: 409,
}


class Refused(Exception):
    """An error as the caller got it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status.message)
        self.answer = answer


@contextmanager
def by_grpc(address: str, method: MethodDescriptor, sent: Sent, binding: int = 0) -> Iterator[Iterator[Any]]:
    """Calls by gRPC, which has one binding only."""
    service = method.containing_service
    module = importlib.import_module(f"{service.file.name.removesuffix('.proto').replace('/', '.')}_pb2_grpc")

    def answers() -> Iterator[Any]:
        rpc = getattr(getattr(module, f"{service.name}Stub")(channel), method.name)
        try:
            answer = rpc(iter(sent) if isinstance(sent, Sequence) else sent, timeout=SECONDS)
            yield from answer if method.server_streaming else [answer]
        except grpc.RpcError as error:
            raise Refused(failed(error)) from error

    with grpc.insecure_channel(address) as channel:
        yield answers()


@contextmanager
def by_rest(address: str, method: MethodDescriptor, sent: Sent, binding: int = 0) -> Iterator[Iterator[Any]]:
    """Calls by REST."""
    assert isinstance(sent, Message), "client streams are for gRPC only"
    rule = bindings(method)[binding]
    verb = rule.WhichOneof("pattern")
    assert verb
    left: dict[str, Any] = json_format.MessageToDict(sent, preserving_proto_field_name=True)
    path = _VARIABLE.sub(lambda found: str(_taken(left, found[1].split("."))), getattr(rule, verb))
    body = left if rule.body == "*" else left.pop(rule.body, {}) if rule.body else None
    query = [] if rule.body == "*" else list(_flat("", left))
    with (
        httpx.Client(timeout=SECONDS, verify=False) as client,
        client.stream(verb.upper(), f"http://{address}{path}", params=query, json=body) as response,
    ):
        if not response.is_success:
            response.read()
            status = rest_error(response)
            assert response.status_code == HTTP_STATUS[status.code], status
            raise Refused(Answer(status, http=response.status_code))
        yield _parsed(method, response)


WAYS: Mapping[str, Way] = {"grpc": by_grpc, "rest": by_rest}


def bindings(method: MethodDescriptor) -> list[http_pb2.HttpRule]:
    """Returns the ways to call a method by REST."""
    rule: Any = method.GetOptions().Extensions[annotations_pb2.http]  # type: ignore[index]
    return [each for each in (rule, *rule.additional_bindings) if each.WhichOneof("pattern")]


class Caller:
    """Calls the RPCs of one service one way, and notes what was called."""

    def __init__(self, address: str, service: ServiceDescriptor, way: str) -> None:
        self.way = way
        self._address = address
        self._service = service
        self._called: set[tuple[str, int]] = set()

    def __call__(self, method: str, sent: Sent, binding: int = 0) -> Any:
        """Returns the response, or the first one of a stream."""
        with self.stream(method, sent, binding) as answers:
            return next(answers)

    def stream(self, method: str, sent: Sent, binding: int = 0) -> AbstractContextManager[Iterator[Any]]:
        """Gives the responses one by one, while the block lasts."""
        self._called.add((method, binding if self.way == "rest" else 0))
        return WAYS[self.way](self._address, self._service.methods_by_name[method], sent, binding)

    def refused(self, method: str, sent: Sent, binding: int = 0) -> tuple[int, str]:
        """Returns code and reason of a call that the service refuses."""
        with pytest.raises(Refused) as caught:
            self(method, sent, binding)
        code, reason, domain = caught.value.answer.reason()
        assert domain == f"{self._service.full_name.split('.')[1]}.sutler.dev"
        return code, reason

    def missed(self) -> set[tuple[str, int]]:
        """Returns the RPCs that were not called; by REST each binding counts."""
        offered = {method: len(bindings(method)) if self.way == "rest" else 1 for method in self._service.methods}
        return {(method.name, each) for method, count in offered.items() for each in range(count)} - self._called


def _parsed(method: MethodDescriptor, response: httpx.Response) -> Iterator[Any]:
    """Yields what an answer says; a raw body as one message."""
    kind = GetMessageClass(method.output_type)
    if kind is httpbody_pb2.HttpBody:
        yield httpbody_pb2.HttpBody(content_type=response.headers["content-type"], data=response.read())
        return
    assert response.headers["content-type"] == "application/json"
    for text in response.iter_lines() if method.server_streaming else [response.read()]:
        yield json_format.Parse(text, kind())


def _taken(left: dict[str, Any], path: list[str]) -> object:
    """Takes a value out of nested objects."""
    return left.pop(path[0]) if len(path) == 1 else _taken(left[path[0]], path[1:])


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yields what is left of a request as query parameters."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, below)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(prefix, item)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
