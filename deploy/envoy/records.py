"""What the gateway tells about calls: an access log of JSON lines, and OpenTelemetry spans."""

from __future__ import annotations

import json
from typing import Any

from sutler.headers import CORRELATION

COLLECTOR = "collector"

GRPC_STATUS = json.dumps({"operators": [{"command": place, "param": "grpc-status"} for place in ("TRAILER", "RESP")]})
"""Where the status is: in the trailers, or in the headers of an answer that has no message."""

FIELDS = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(x-envoy-original-method?:method)%",
    "path": "%REQ(x-envoy-original-path?:path)%",
    "rpc": "%PATH(NQ:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": f"%COALESCE({GRPC_STATUS})%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "correlation_id": f"%REQ({CORRELATION})%",
    "traceparent": "%REQ(traceparent)%",
}


def access_log(file: str) -> dict[str, Any]:
    """Returns an access log: to a file, or to standard output if the name is empty."""
    kind = "file.v3.FileAccessLog" if file else "stream.v3.StdoutAccessLog"
    return {
        "name": "envoy.access_loggers.json",
        "typed_config": {
            "@type": f"type.googleapis.com/envoy.extensions.access_loggers.{kind}",
            "log_format": {"json_format": FIELDS},
            **({"path": file} if file else {}),
        },
    }


def tracing(ratio: float) -> dict[str, Any]:
    """Returns where spans go; ``ratio`` is the share of traces sampled where the caller did not decide."""
    return {
        "random_sampling": {"value": ratio * 100},
        "custom_tags": [{"tag": "correlation_id", "request_header": {"name": CORRELATION}}],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "sutler-gateway",
                "grpc_service": {"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "0.5s"},
            },
        },
    }
