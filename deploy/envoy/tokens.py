"""The token check at the edge: who shows no good token does not reach a service.

The services check again, and what a token permits is theirs alone to say.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sutler.auth import LEEWAY_SECONDS, MIN_SECRET_BYTES
from sutler.methods import NO_TOKEN

from deploy.envoy.clusters import assignment, is_ip, upstream_tls

CLUSTER = "jwks"
REFRESH = "300s"
OPEN_PATHS = ("/healthz",)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Which tokens are good.

    Attributes:
        jwks: The JWKS whose keys sign tokens, as JSON or as an http(s) URL.
        issuer: The only accepted issuer; any if empty.
        audiences: Accepted audiences; not checked if empty.
    """

    jwks: str
    issuer: str = ""
    audiences: Sequence[str] = ()


def secret_jwks(secret: str) -> str:
    """Returns the JWKS of a shared secret (HS256), as JSON.

    Raises:
        ValueError: If the secret has fewer than 32 bytes, as the services demand.
    """
    raw = secret.encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the shared secret has fewer than {MIN_SECRET_BYTES} bytes; `sutler token --new-secret` makes one"
        )
    key = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": key}]})


def load_jwks(source: str) -> str:
    """Returns the JWKS in a file, or the URL itself; Envoy fetches from it.

    Raises:
        ValueError: If the file cannot be read or has no keys.
    """
    if "://" in source:
        return source
    try:
        text = Path(source).read_text()
        found = json.loads(text).get("keys")
    except OSError as error:
        raise ValueError(f"the JWKS {source} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{source} is not a JWKS") from error
    if not found:
        raise ValueError(f"{source} has no keys")
    return text


def token_filter(tokens: Tokens) -> dict[str, Any]:
    """Returns the filter that refuses calls without a good token. Health and reflection need none."""
    provider: dict[str, Any] = {
        **_source(tokens.jwks),
        "forward": True,
        "from_headers": [{"name": "authorization", "value_prefix": scheme} for scheme in ("Bearer ", "bearer ")],
        "clock_skew_seconds": LEEWAY_SECONDS,
        "require_expiration": True,
    }
    if tokens.issuer:
        provider["issuer"] = tokens.issuer
    if tokens.audiences:
        provider["audiences"] = list(tokens.audiences)
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"token": provider},
            "bypass_cors_preflight": True,
            "rules": [
                *({"match": {"path": path}} for path in OPEN_PATHS),
                *({"match": {"prefix": path}} for path in NO_TOKEN),
                {"match": {"prefix": "/"}, "requires": {"provider_name": "token"}},
            ],
        },
    }


def _source(jwks: str) -> dict[str, Any]:
    if "://" not in jwks:
        return {"local_jwks": {"inline_string": jwks}}
    return {
        "remote_jwks": {
            "http_uri": {"uri": jwks, "cluster": CLUSTER, "timeout": "5s"},
            "cache_duration": REFRESH,
            "async_fetch": {},
        }
    }


def key_clusters(tokens: Tokens | None) -> list[dict[str, Any]]:
    """Returns the cluster that keys are fetched from; none if they are at hand."""
    if tokens is None or "://" not in tokens.jwks:
        return []
    url = urlsplit(tokens.jwks)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    made: dict[str, Any] = {
        "name": CLUSTER,
        "connect_timeout": "5s",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": assignment(CLUSTER, [f"{host}:{port}"]),
    }
    if url.scheme == "https":
        name = {"san_type": "IP_ADDRESS" if is_ip(host) else "DNS", "matcher": {"exact": host}}
        made["transport_socket"] = upstream_tls(_system_ca(), [name], alpn="http/1.1", sni=host)
    return [made]


def _system_ca() -> Path:
    file = ssl.get_default_verify_paths().cafile
    if file is None:
        raise ValueError("this system has no CA file, which a JWKS at an https URL needs")
    return Path(file)
