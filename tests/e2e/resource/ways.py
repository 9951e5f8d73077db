"""Calls of any RPC through the gateway, by gRPC or by REST as its ``google.api.http`` option says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import httpx
from google.api import annotations_pb2, http_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

_VARIABLE = re.compile(r"\{([a-z_.]+)(?:=[^}]*)?\}")

Way = Callable[[str, MethodDescriptor, Message], Any]
"""Makes a call: the gateway's address, the method, the request; returns the response, or the first of a stream."""


class Refused(Exception):
    """An error as the caller got it: its code and its ErrorInfo."""

    def __init__(self, status: status_pb2.Status) -> None:
        infos = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
        assert len(infos) == 1, status
        info = error_details_pb2.ErrorInfo()
        infos[0].Unpack(info)
        super().__init__(status.message)
        self.code = status.code
        self.reason = info.reason


def by_grpc(address: str, method: MethodDescriptor, request: Message) -> Any:
    """Calls by gRPC."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    parse = GetMessageClass(method.output_type).FromString
    with grpc.insecure_channel(address) as channel:
        try:
            if method.server_streaming:
                stream = channel.unary_stream(path, type(request).SerializeToString, parse)(request, timeout=30)
                first = next(stream)
                stream.cancel()
                return first
            return channel.unary_unary(path, type(request).SerializeToString, parse)(request, timeout=30)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())  # type: ignore[attr-defined]
            raise Refused(status_pb2.Status.FromString(trailers["grpc-status-details-bin"])) from error


def by_rest(address: str, method: MethodDescriptor, request: Message) -> Any:
    """Calls by REST."""
    rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    assert verb, method.full_name
    left: dict[str, Any] = json_format.MessageToDict(request, preserving_proto_field_name=True)
    path = _VARIABLE.sub(lambda found: str(_taken(left, found[1].split("."))), getattr(rule, verb))
    body = left if rule.body == "*" else left.pop(rule.body, {}) if rule.body else None
    query = [] if rule.body == "*" else list(_flat("", left))
    answer = GetMessageClass(method.output_type)()
    with (
        httpx.Client(timeout=30) as client,
        client.stream(verb.upper(), f"http://{address}{path}", params=query, json=body) as response,
    ):
        if not response.is_success:
            raise Refused(json_format.Parse(response.read(), status_pb2.Status()))
        text = next(response.iter_lines()) if method.server_streaming else response.read()
    return json_format.Parse(text, answer)


WAYS: Mapping[str, Way] = {"grpc": by_grpc, "rest": by_rest}


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
