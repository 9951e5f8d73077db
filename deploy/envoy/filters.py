"""What happens to every call, in order: ids, CORS, gRPC-Web, token, REST translation, routing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sutler.headers import CORRELATION
from sutler.server import MAX_MESSAGE_BYTES

from deploy.envoy.tokens import Tokens, token_filter

TYPE = "type.googleapis.com/envoy.extensions.filters.http"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"

JSON_LIMIT = "envoy.filters.http.buffer"
MESSAGE_LIMIT = "envoy.filters.http.lua"

MAX_JSON_BYTES = 16 * 1024 * 1024
"""A 4 MiB message can take so much as JSON: base64 adds a third, escapes more."""

REFUSE_LARGE_MESSAGES = f"""
function envoy_on_request(call)
  local message = call:body()
  if message and message:length() > {MAX_MESSAGE_BYTES + 5} then
    call:respond({{[":status"] = "413"}}, "")
  end
end
"""
"""The services would refuse them too, but gRPC's core gives no reason. Five bytes are gRPC's prefix of a message."""


def http_filters(services: Mapping[str, str], descriptors: Path, tokens: Tokens | None) -> list[dict[str, Any]]:
    """Returns the HTTP filters.

    Args:
        services: Full service name to area.
        descriptors: The descriptor set.
        tokens: Which tokens are good; none is asked for if None.
    """
    return [
        _headers(),
        {"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{TYPE}.cors.v3.Cors"}},
        {"name": "envoy.filters.http.grpc_web", "typed_config": {"@type": f"{TYPE}.grpc_web.v3.GrpcWeb"}},
        *([token_filter(tokens)] if tokens else []),
        {
            "name": JSON_LIMIT,
            "disabled": True,
            "typed_config": {"@type": f"{TYPE}.buffer.v3.Buffer", "max_request_bytes": MAX_JSON_BYTES},
        },
        {"name": TRANSCODER, "typed_config": transcoder(services, descriptors, sse=False)},
        {
            "name": MESSAGE_LIMIT,
            "typed_config": {
                "@type": f"{TYPE}.lua.v3.Lua",
                "source_codes": {MESSAGE_LIMIT: {"inline_string": REFUSE_LARGE_MESSAGES}},
            },
        },
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{TYPE}.router.v3.Router", "suppress_envoy_headers": True},
        },
    ]


def transcoder(services: Mapping[str, str], descriptors: Path, *, sse: bool) -> dict[str, Any]:
    """Returns the REST translation; streams are lines of JSON, or server-sent events."""
    return {
        "@type": f"{TYPE}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": sorted(services),
        "convert_grpc_status": True,
        "query_param_unescape_plus": True,
        "max_request_body_size": MAX_JSON_BYTES,
        "max_response_body_size": MAX_JSON_BYTES,
        "print_options": {"stream_sse_style_delimited" if sse else "stream_newline_delimited": True},
        "request_validation_options": {
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def json_limit() -> dict[str, Any]:
    """Returns the part of a route whose calls are REST: a body is read as a whole, and refused if it is too large.

    The transcoder's own ``max_request_body_size`` does not count what it has read already.
    """
    return {JSON_LIMIT: {"@type": f"{TYPE}.buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": MAX_JSON_BYTES}}}


def message_limit() -> dict[str, Any]:
    """Returns the part of a route whose calls were REST: a message is refused if no service would take it."""
    return {MESSAGE_LIMIT: {"@type": f"{TYPE}.lua.v3.LuaPerRoute", "name": MESSAGE_LIMIT}}


def _headers() -> dict[str, Any]:
    """Returns what every call gets and loses before anything else looks at it.

    It gets a correlation id, and so does every answer, the gateway's own errors included: the services send it in
    trailers, which REST callers never see. It loses ``x-envoy-…``: no caller may make Envoy repeat calls, or end them.
    """

    def put(value: str, action: str) -> dict[str, Any]:
        return {"append": {"header": {"key": CORRELATION, "value": value}, "append_action": action}}

    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{TYPE}.header_mutation.v3.HeaderMutation",
            "mutations": {
                "request_mutations": [
                    {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
                    put("%REQ(x-request-id)%", "ADD_IF_ABSENT"),
                ],
                "response_mutations": [put(f"%REQ({CORRELATION})%", "OVERWRITE_IF_EXISTS_OR_ADD")],
            },
        },
    }
