"""The gateway's own errors in the shape of the services': a ``google.rpc.Status`` with a reason, for every caller.

REST callers get it as JSON. gRPC callers get it in trailers, where the text must be a fixed one: clients compare it
with the text inside ``grpc-status-details-bin``, which is made here, once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.rpc import error_details_pb2, status_pb2
from sutler.headers import CORRELATION, STATUS

GRPC_OR_GRPC_WEB = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
GRPC_PATH = {"name": ":path", "string_match": {"safe_regex": {"regex": r"/(sutler|grpc)\..*"}}}
DOMAIN = "gateway.sutler.dev"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
REQUEST_INFO = "type.googleapis.com/google.rpc.RequestInfo"
TRANSLATED = "x-envoy-original-path"
"""Set on requests that came as REST; by then their content type says gRPC."""

NOT_TRANSLATED = {"name": TRANSLATED, "present_match": False}

NEVER_RAN = "no instance of the service can be reached; the call has not run"
MAY_HAVE_RUN = "the service went away during the call, which may or may not have run"

PLACE = {"method": "%REQ(:METHOD):16%", "path": "%REQ(:PATH):256%"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller is told.

    Attributes:
        status: Envoy's HTTP status.
        code: The gRPC code for it.
        reason: A value of ``sutler.type.v1.ErrorReason`` where one fits.
        message: For people.
        flags: Envoy's response flags that it is for; any if empty.
        without: The request header whose absence it is for.
        told: The HTTP status that callers see; Envoy's if 0.
        misspoken: It is only for callers that speak something else than gRPC on a path of gRPC.
        detailed: REST callers also get Envoy's own words, such as those of the JSON parser.
        variables: What REST callers also get in the message and in the metadata: name to Envoy's format of it.
    """

    status: int
    code: int
    reason: str
    message: str
    flags: Sequence[str] = ()
    without: str = ""
    told: int = 0
    misspoken: bool = False
    detailed: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


REPLIES = (
    Reply(400, 3, "REQUEST_MALFORMED", "the request cannot be read", detailed=True),
    Reply(
        401,
        16,
        "CREDENTIALS_MISSING",
        "no token came with the call; send the header 'authorization: Bearer …'",
        without="authorization",
    ),
    Reply(401, 16, "CREDENTIALS_INVALID", "the token is not valid", detailed=True),
    Reply(403, 7, "NOT_ALLOWED", "the gateway does not allow this call", detailed=True),
    Reply(
        404,
        3,
        "CONTENT_TYPE_UNSUPPORTED",
        "this path takes gRPC and gRPC-Web only, content-type application/grpc…; for JSON use the method's REST path "
        "under /v1/, which its contract names; for buf curl add --protocol grpc",
        told=415,
        misspoken=True,
        variables=PLACE,
    ),
    Reply(
        404,
        12,
        "PATH_UNKNOWN",
        "no API has this method and path",
        variables=PLACE,
    ),
    Reply(408, 4, "DEADLINE_EXCEEDED", "the deadline passed before the answer was ready"),
    Reply(413, 8, "TOO_LARGE", "the message is larger than the limit"),
    Reply(429, 8, "OVERLOADED", "the gateway has too much to do"),
    Reply(431, 3, "TOO_LARGE", "the headers are larger than the limit"),
    Reply(503, 14, "DEPENDENCY_UNAVAILABLE", NEVER_RAN, flags=("UH", "UF", "UO")),
    Reply(503, 14, "DEPENDENCY_UNAVAILABLE", MAY_HAVE_RUN, flags=("UC", "UR")),
    Reply(503, 14, "DEPENDENCY_UNAVAILABLE", "the gateway cannot take the call now", detailed=True),
    Reply(502, 14, "DEPENDENCY_UNAVAILABLE", MAY_HAVE_RUN, detailed=True),
    Reply(504, 4, "DEADLINE_EXCEEDED", "the deadline passed before the answer was ready"),
    Reply(500, 13, "INTERNAL", "the gateway cannot pass on this call", detailed=True),
)
"""The first that fits is given."""


def local_replies() -> dict[str, Any]:
    """Returns what replaces Envoy's plain-text errors."""
    mappers = [_for_grpc(reply) for reply in REPLIES if not reply.misspoken]
    return {"mappers": [*mappers, *(_for_rest(reply) for reply in REPLIES)]}


def _for_grpc(reply: Reply) -> dict[str, Any]:
    status = status_pb2.Status(code=reply.code, message=reply.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reply.reason, domain=DOMAIN))
    packed = base64.b64encode(status.SerializeToString()).decode()
    return {
        "filter": _all(*_conditions(reply), _header(GRPC_OR_GRPC_WEB), _header(NOT_TRANSLATED)),
        "body_format_override": {"text_format_source": {"inline_string": reply.message}},
        "headers_to_add": [{"header": {"key": STATUS, "value": packed}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }


def _for_rest(reply: Reply) -> dict[str, Any]:
    info: dict[str, Any] = {"@type": ERROR_INFO, "reason": reply.reason, "domain": DOMAIN}
    if reply.variables:
        info["metadata"] = dict(reply.variables)
    details = [info, {"@type": REQUEST_INFO, "requestId": f"%REQ({CORRELATION})%"}]
    more = " ".join([*reply.variables.values(), *(["%LOCAL_REPLY_BODY%"] if reply.detailed else [])])
    message = f"{reply.message}: {more}" if more else reply.message
    return {
        "filter": _all(*_conditions(reply)),
        **({"status_code": reply.told} if reply.told else {}),
        "body_format_override": {
            "json_format": {"code": reply.code, "message": message, "details": details},
            "content_type": "application/json",
        },
    }


def _conditions(reply: Reply) -> list[dict[str, Any]]:
    status = {"default_value": reply.status, "runtime_key": f"gateway.reply.{reply.status}"}
    found: list[dict[str, Any]] = [{"status_code_filter": {"comparison": {"op": "EQ", "value": status}}}]
    if reply.flags:
        found.append({"response_flag_filter": {"flags": list(reply.flags)}})
    if reply.without:
        found.append(_header({"name": reply.without, "present_match": False}))
    if reply.misspoken:
        found.append(_header(GRPC_PATH))
    return found


def _header(matcher: dict[str, Any]) -> dict[str, Any]:
    return {"header_filter": {"header": matcher}}


def _all(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}} if len(filters) > 1 else filters[0]
