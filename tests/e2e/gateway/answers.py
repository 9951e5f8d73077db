"""What came back from a call, in one form for gRPC, gRPC-Web and REST."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

HEADER = 5
TRAILERS = 0x80


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: The status of the call; its code is 0 if it succeeded.
        message: The last response; None if there was none.
        headers: Response headers and trailers together.
        http: The HTTP status; 0 where the client does not tell.
    """

    status: status_pb2.Status
    message: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    http: int = 0

    def info(self) -> error_details_pb2.ErrorInfo:
        """Returns the one ErrorInfo."""
        infos = [detail for detail in self.status.details if detail.type_url.endswith("/google.rpc.ErrorInfo")]
        assert len(infos) == 1, self.status
        found = error_details_pb2.ErrorInfo()
        infos[0].Unpack(found)
        return found

    def reason(self) -> tuple[int, str, str]:
        """Returns code, reason and domain."""
        info = self.info()
        return self.status.code, info.reason, info.domain


def rest_answer(answer: httpx.Response, kind: type[Message]) -> Answer:
    """Returns the answer to a REST call."""
    assert answer.headers["content-type"] == "application/json", answer.text
    if answer.is_success:
        return Answer(
            status_pb2.Status(), json_format.Parse(answer.text, kind()), dict(answer.headers), answer.status_code
        )
    return Answer(rest_error(answer), None, dict(answer.headers), answer.status_code)


def rest_error(answer: httpx.Response) -> status_pb2.Status:
    """Returns the status in the body of a REST answer; fails if the body is anything else."""
    assert answer.headers["content-type"] == "application/json", answer.text
    return json_format.Parse(answer.text, status_pb2.Status())


def web_frames(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Returns the messages and trailers of a gRPC-Web answer."""
    messages, trailers = [], {}
    while body:
        size = int.from_bytes(body[1:HEADER], "big")
        frame, flags = body[HEADER : HEADER + size], body[0]
        if flags & TRAILERS:
            lines = (line.split(":", 1) for line in frame.decode().split("\r\n") if line)
            trailers = {key.strip(): value.strip() for key, value in lines}
        else:
            messages.append(frame)
        body = body[HEADER + size :]
    return messages, trailers


def failed(error: Any) -> Answer:
    """Returns the answer of a gRPC call that failed."""
    found = {**metadata(error)}
    status = status_pb2.Status(code=error.code().value[0], message=error.details())
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if packed is not None:
        rich = status_pb2.Status.FromString(packed)
        assert (rich.code, rich.message) == (status.code, status.message)
        status = rich
    return Answer(status, None, found)


def metadata(call: Any) -> dict[str, str]:
    """Returns the headers and trailers of a gRPC call."""
    return {str(k): v for k, v in (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))}


def web_status(headers: Mapping[str, str]) -> status_pb2.Status:
    """Returns the status in the headers and trailers of a gRPC-Web call."""
    code, text = int(headers["grpc-status"]), urllib.parse.unquote(headers.get("grpc-message", ""))
    packed = headers.get("grpc-status-details-bin")
    if packed is None:
        return status_pb2.Status(code=code, message=text)
    rich = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    assert (rich.code, rich.message) == (code, text)
    return rich
