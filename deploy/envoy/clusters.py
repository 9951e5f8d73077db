"""The gateway's view of the services: health, outliers, limits, TLS."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUFFER_BYTES = 16 * 1024 * 1024
MANY = 100_000
"""No limit of the gateway's own: the services have theirs, and say so in their own words."""

CHECK_SECONDS = 0.2
"""Less than the pause (``drain_pause_seconds``) that a stopping service makes before it refuses calls."""


def cluster(name: str, addresses: Sequence[str], ca: Path | None = None) -> dict[str, Any]:
    """Returns a cluster of workers that speak gRPC.

    A worker that says NOT_SERVING, or does not answer its health check, gets no calls; if none is left, calls end with
    UNAVAILABLE at once.

    Args:
        name: The cluster's name.
        addresses: ``host:port`` of each worker.
        ca: The workers' CA (PEM file); calls use TLS with it, and their certificates must name their hosts.
    """
    hosts = [split(address)[0] for address in addresses]
    made: dict[str, Any] = {
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC" if all(map(is_ip, hosts)) else "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "load_assignment": assignment(name, addresses),
        "typed_extension_protocol_options": http2(),
        "health_checks": [
            {
                "timeout": "1s",
                "interval": f"{CHECK_SECONDS}s",
                "no_traffic_interval": f"{CHECK_SECONDS}s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "outlier_detection": _outliers(),
        # Without a merge window of 0, Envoy goes on for a second with workers that it knows to be unhealthy.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY, "max_retries": MANY}
            ]
        },
    }
    if ca:
        names = [{"san_type": "IP_ADDRESS" if is_ip(host) else "DNS", "matcher": {"exact": host}} for host in hosts]
        made["transport_socket"] = upstream_tls(ca, names, alpn="h2")
    return made


def any_of(name: str, clusters: Sequence[str]) -> dict[str, Any]:
    """Returns a cluster that passes calls to the first of others that has a healthy worker."""
    return {
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": list(clusters),
            },
        },
    }


def collector(name: str, address: str) -> dict[str, Any]:
    """Returns the cluster of an OTLP/gRPC collector."""
    return {
        "name": name,
        "connect_timeout": "1s",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": assignment(name, [address]),
        "typed_extension_protocol_options": http2(),
    }


def _outliers() -> dict[str, Any]:
    """Returns when one of several workers gets no calls for a while: it cannot be reached, or its connections break.

    Answers of a service are never a reason, for UNAVAILABLE can be an honest one: an ERP that is down must not close
    the way to the others.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "1s",
        "max_ejection_time": "5s",
        "max_ejection_percent": 50,
    }


def upstream_tls(ca: Path, names: Sequence[dict[str, Any]], *, alpn: str, sni: str = "") -> dict[str, Any]:
    """Returns a transport socket that checks the other side's certificate and that it names one of ``names``."""
    context: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": [alpn],
            "validation_context": {
                "trusted_ca": {"filename": str(ca)},
                "match_typed_subject_alt_names": list(names),
            },
        },
    }
    if sni:
        context["sni"] = sni
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def http2() -> dict[str, Any]:
    """Returns the option without which Envoy would speak HTTP/1.1 to the workers."""
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {
                "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
            },
        }
    }


def assignment(name: str, addresses: Sequence[str]) -> dict[str, Any]:
    """Returns where the workers of a cluster are."""
    endpoints = []
    for address in addresses:
        host, port = split(address)
        endpoints.append({"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}})
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def split(address: str) -> tuple[str, int]:
    """Returns host and port of ``host:port``; an IPv6 address loses its brackets.

    Raises:
        ValueError: If it is something else.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def is_ip(host: str) -> bool:
    """Returns whether a host is an address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
