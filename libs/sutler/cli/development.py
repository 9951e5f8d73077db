"""Tokens and certificates for development."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

from sutler import auth, certs
from sutler.certs import Certificates
from sutler.cli.screen import Failed, Misused
from sutler.client.connection import services

_PART = r"(\*|[A-Za-z][A-Za-z0-9]*)"
_PERMISSION = re.compile(rf"(?P<area>{_PART})\.{_PART}\.{_PART}(:.+)?")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


def make_token(
    secret: str, subject: str, permissions: Sequence[str], *, tenant: str, hours: float, service: bool
) -> str:
    """Returns a token signed with the services' shared secret.

    Args:
        secret: The secret, at least 32 bytes.
        subject: Whose token.
        permissions: What is granted; everything if there are none.
        tenant: The tenant.
        hours: How long it is good.
        service: Whether it may act on somebody's behalf.

    Raises:
        Misused: If there is no usable secret, or a permission is malformed.
    """
    if len(secret.encode()) < auth.MIN_SECRET_BYTES:
        raise Misused(
            "give the shared secret of the services with --secret or SUTLER_AUTH_SECRET: "
            f"{auth.MIN_SECRET_BYTES} bytes or more; --new-secret makes one"
        )
    for permission in permissions:
        _check_permission(permission)
    return auth.make_token(
        secret,
        subject,
        permissions=permissions or ["*.*.*"],
        tenant=tenant,
        lifetime_seconds=int(hours * 3600),
        service=service,
    )


def _check_permission(permission: str) -> None:
    found = _PERMISSION.fullmatch(permission)
    if found is None:
        raise Misused(f"--permission {permission}: give area.collection.verb or area.collection.verb:pattern")
    if found["area"] not in ("*", *services()):
        raise Misused(f"--permission {permission}: the area is one of {', '.join(sorted(services()))}, or *")


def make_certificates(folder: Path, hosts: Sequence[str], *, days: int | None, force: bool) -> Certificates:
    """Makes a CA and a server certificate.

    Args:
        folder: Where to write them.
        hosts: Names and addresses of the server.
        days: How long they are valid; as long as usual if None.
        force: Replace what is there.

    Raises:
        Misused: If something is no host.
        Failed: If there are certificates already.
    """
    for host in hosts:
        if not _is_host(host):
            raise Misused(f"--host {host!r} is no name and no address of a host")
    there = [name for name in ("ca.pem", "server.pem", "server.key") if (folder / name).exists()]
    if there and not force:
        raise Failed(f"{folder} holds {', '.join(there)}: --force replaces them, the CA that clients trust included")
    return certs.write_certificates(folder, hosts, days=days or certs.VALID_DAYS)


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return len(host) <= 253 and _HOST.fullmatch(host) is not None
    return True
