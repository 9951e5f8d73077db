"""The gateway's configuration, made from the contracts: one listener for gRPC, gRPC-Web and REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sutler.settings import is_loopback

from deploy.envoy.clusters import any_of, cluster, collector, split
from deploy.envoy.descriptors import DESCRIPTORS, gateway_services
from deploy.envoy.filters import MAX_JSON_BYTES, http_filters, transcoder
from deploy.envoy.records import COLLECTOR, access_log, tracing
from deploy.envoy.replies import local_replies
from deploy.envoy.routes import ANY_SERVICE, routes
from deploy.envoy.tokens import Tokens, key_clusters
from deploy.local.layout import check_areas

MAX_CONNECTIONS = 50_000
ADMIN_PATHS = ("/ready", "/stats", "/clusters", "/listeners", "/server_info", "/certs", "/memory")
"""What the admin page shows. The rest would change the gateway or show the shared secret; any local page can ask."""


class GatewayError(Exception):
    """The gateway cannot be what it is told to be; the text says why and what to do."""


class GatewayNotClosed(GatewayError):
    """The gateway was told to listen beyond loopback without TLS and authentication."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a gateway is told.

    Attributes:
        endpoints: Area to the addresses (``host:port``) of its workers.
        host: Where to listen; beyond loopback ``tls`` and ``tokens`` are required.
        port: Port for gRPC, gRPC-Web and REST.
        admin_port: Port of Envoy's admin page, on loopback always.
        access_log: File of the JSON access log; standard output if empty.
        tokens: Which tokens are good; no token is asked for if None.
        tls: Certificate chain and key (PEM files).
        neighbour_ca: CA of the services (PEM file); calls to them use TLS with it.
        otlp: ``host:port`` of an OTLP/gRPC collector for traces.
        trace_ratio: Share of traces sampled where the caller did not decide.
        descriptors: The descriptor set.
    """

    endpoints: Mapping[str, Sequence[str]]
    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 9901
    access_log: str = ""
    tokens: Tokens | None = None
    tls: tuple[Path, Path] | None = None
    neighbour_ca: Path | None = None
    otlp: str = ""
    trace_ratio: float = 0.01
    descriptors: Path = field(default=DESCRIPTORS)


def make_config(gateway: Gateway) -> dict[str, Any]:
    """Returns Envoy's bootstrap configuration.

    Raises:
        GatewayNotClosed: If it would listen beyond loopback without TLS and authentication.
        GatewayError: If a service has no endpoints, an address is malformed, or a file is missing.
    """
    if not is_loopback(gateway.host) and not (gateway.tls and gateway.tokens):
        raise GatewayNotClosed(
            f"the gateway may listen on {gateway.host} only with TLS (a certificate and its key; `sutler certs` makes "
            "some) and authentication (a JWKS or a shared secret)"
        )
    services = _services(gateway)
    _check_ports(gateway)
    return {
        "admin": {
            "address": _socket("127.0.0.1", gateway.admin_port),
            "allow_paths": [{"prefix": path} for path in ADMIN_PATHS],
        },
        "overload_manager": _limits(),
        "static_resources": {"listeners": [_listener(gateway, services)], "clusters": _clusters(gateway, services)},
    }


def _services(gateway: Gateway) -> dict[str, str]:
    """Returns the services after a look at all that Envoy would refuse with less to go by."""
    for file in (*(gateway.tls or ()), gateway.neighbour_ca):
        if file and not file.is_file():
            raise GatewayError(f"the file {file} does not exist")
    try:
        services = gateway_services(gateway.descriptors)
        check_areas(set(services.values()), folders=False)
        for address in (a for workers in gateway.endpoints.values() for a in workers):
            split(address)
        if gateway.otlp:
            split(gateway.otlp)
    except FileNotFoundError as error:
        raise GatewayError(f"there is no descriptor set at {gateway.descriptors}: run `make gen`") from error
    except ValueError as error:
        raise GatewayError(str(error)) from error
    missing = sorted(area for area in set(services.values()) if not gateway.endpoints.get(area))
    if missing:
        raise GatewayError(f"the gateway is told no endpoint of: {', '.join(missing)}")
    return services


def _check_ports(gateway: Gateway) -> None:
    """Refuses two listeners on one port, and a worker where the gateway itself listens."""
    if gateway.port == gateway.admin_port:
        raise GatewayError(f"port {gateway.port} is meant for both the gateway and its admin page")
    own = {gateway.port: "the gateway", gateway.admin_port: "its admin page"}
    for area, workers in gateway.endpoints.items():
        for host, port in map(split, workers):
            if port in own and is_loopback(host):
                raise GatewayError(f"port {port} on this machine is meant for both {own[port]} and the service {area}")


def _clusters(gateway: Gateway, services: Mapping[str, str]) -> list[dict[str, Any]]:
    areas = sorted(set(services.values()))
    return [
        *(cluster(area, gateway.endpoints[area], gateway.neighbour_ca) for area in areas),
        any_of(ANY_SERVICE, areas),
        *key_clusters(gateway.tokens),
        *([collector(COLLECTOR, gateway.otlp)] if gateway.otlp else []),
    ]


def _listener(gateway: Gateway, services: Mapping[str, str]) -> dict[str, Any]:
    sse = transcoder(services, gateway.descriptors, sse=True)
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "use_remote_address": True,
        "normalize_path": True,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "0s",
        "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}},
        "access_log": [access_log(gateway.access_log)],
        "local_reply_config": local_replies(),
        "http_filters": http_filters(services, gateway.descriptors, gateway.tokens),
        "route_config": routes(services, sse, any_host=gateway.tokens is not None),
        **({"tracing": tracing(gateway.trace_ratio)} if gateway.otlp else {}),
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if gateway.tls:
        chain["transport_socket"] = _downstream_tls(*gateway.tls)
    return {
        "name": "gateway",
        "address": _socket(gateway.host, gateway.port),
        "per_connection_buffer_limit_bytes": MAX_JSON_BYTES,
        "filter_chains": [chain],
    }


def _socket(host: str, port: int) -> dict[str, Any]:
    plain = host.strip("[]")
    return {"socket_address": {"address": "127.0.0.1" if plain == "localhost" else plain, "port_value": port}}


def _downstream_tls(certificate: Path, key: Path) -> dict[str, Any]:
    pair = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
        },
    }


def _limits() -> dict[str, Any]:
    return {
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    "max_active_downstream_connections": MAX_CONNECTIONS,
                },
            }
        ]
    }
