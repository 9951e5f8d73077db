"""Which call goes where: by full service name, after REST has been translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sutler.headers import AREA

from deploy.envoy.filters import TRANSCODER, TYPE, json_limit, message_limit
from deploy.envoy.replies import GRPC_OR_GRPC_WEB, TRANSLATED

ANY_SERVICE = "any"
"""The cluster that answers for all: every service's reflection knows all contracts."""

HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

LOOPBACK_HOSTS = ("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[::1]:*")
LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"
EXPOSED = "grpc-status,grpc-message,grpc-status-details-bin,x-correlation-id"

HOST_ATTEMPTS = 20
"""How often another worker is looked for than those that refused a call. The one that refuses has the fewest calls, so
that load balancing prefers it."""

NEVER_RAN = "connect-failure,refused-stream,reset-before-request"
"""Envoy repeats only calls that no service has seen; all others are the caller's to repeat."""


def routes(services: Mapping[str, str], sse_transcoder: dict[str, Any], *, any_host: bool) -> dict[str, Any]:
    """Returns the route table.

    Args:
        services: Full service name to cluster.
        sse_transcoder: The REST translation for callers that accept ``text/event-stream``.
        any_host: Serves callers that name any host. Without a token check only loopback names are served: a web page
            whose name was made to point to this machine after it was loaded names its own.
    """
    areas = sorted(set(services.values()))
    table: list[dict[str, Any]] = [
        {"match": {"path": "/healthz"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}},
        _foreign_origin(),
        *(_translated(f"/{service}/", area) for service, area in sorted(services.items())),
        *(_to(f"/{service}/", area) for service, area in sorted(services.items())),
        *(_to(HEALTH, area, {"name": AREA, "string_match": {"exact": area}}) for area in areas),
        _to(HEALTH, ANY_SERVICE, {"name": AREA, "present_match": False}),
        _to(REFLECTION, ANY_SERVICE),
        {
            "match": {
                "prefix": "/v1/",
                "headers": [{"name": "accept", "string_match": {"contains": "text/event-stream"}}],
            },
            **_nowhere(),
            "typed_per_filter_config": {TRANSCODER: sse_transcoder, **json_limit()},
        },
        {"match": {"prefix": "/v1/"}, **_nowhere(), "typed_per_filter_config": json_limit()},
        # A stream may have no end: nothing waits for that before it says that there is no such method.
        {"match": {"prefix": "/"}, **_nowhere()},
    ]
    hosts = [_host("served", ["*"] if any_host else LOOPBACK_HOSTS, table)]
    if not any_host:
        refusal = _refuse("without a token check the gateway serves callers that name localhost or 127.0.0.1")
        hosts.append(_host("refused", ["*"], [{"match": {"prefix": "/"}, **refusal}]))
    return {"name": "services", "virtual_hosts": hosts, "validate_clusters": False}


def _host(name: str, domains: object, table: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "domains": domains,
        "typed_per_filter_config": {"envoy.filters.http.cors": _cors()},
        "routes": table,
    }


def _nowhere() -> dict[str, Any]:
    """Returns a route to a cluster that is not there: 404.

    Every REST call has it until its path is translated, and Envoy's CORS filter does nothing where the route at that
    time is a direct response.
    """
    return {"route": {"cluster": "nowhere", "cluster_not_found_response_code": "NOT_FOUND"}}


def _refuse(why: str) -> dict[str, Any]:
    return {"direct_response": {"status": 403, "body": {"inline_string": why}}}


def _foreign_origin() -> dict[str, Any]:
    """Returns the route of calls that a web page of another machine makes, preflights included.

    A browser sends some requests without asking first, and only hides the answer from the page.
    """
    loopback = {"safe_regex": {"regex": LOOPBACK_ORIGIN}}
    origin = {"name": "origin", "string_match": loopback, "invert_match": True}
    return {"match": {"prefix": "/", "headers": [origin]}, **_refuse("web pages of this origin may not call it")}


def _translated(prefix: str, cluster: str) -> dict[str, Any]:
    """Returns the route to a service for calls that came as REST, which are no client streams."""
    came_as_rest = {"name": TRANSLATED, "present_match": True}
    return {**_to(prefix, cluster, came_as_rest), "typed_per_filter_config": message_limit()}


def _to(prefix: str, cluster: str, *headers: dict[str, Any]) -> dict[str, Any]:
    """Returns the route to a service, for gRPC only: a service resets what is anything else.

    Deadlines are for callers and services to keep: ``grpc-timeout`` is passed on, and Envoy has no timer of its own,
    which would end streams that have begun with INTERNAL.
    """
    return {
        "match": {"prefix": prefix, "headers": [GRPC_OR_GRPC_WEB, *headers]},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "idle_timeout": "0s",
            "retry_policy": {
                "retry_on": NEVER_RAN,
                "num_retries": 3,
                "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                            ".PreviousHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": HOST_ATTEMPTS,
            },
        },
    }


def _cors() -> dict[str, Any]:
    return {
        "@type": f"{TYPE}.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": LOOPBACK_ORIGIN}}],
        "allow_methods": "GET, POST, PATCH, DELETE, OPTIONS",
        "allow_headers": "authorization,content-type,grpc-timeout,if-match,traceparent,x-correlation-id,x-grpc-web,"
        f"{AREA},x-sutler-tenant,x-user-agent",
        "expose_headers": EXPOSED,
        "max_age": "600",
    }
