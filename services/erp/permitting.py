"""Changing connections: what is allowed, what needs another login, and which secrets stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sutler.allow_lists import allows
from sutler.errors import Violation, invalid_fields

from services.erp import faults
from services.erp.connections import Connection, ConnectionSpec, secret_slot
from services.erp.trust import check_reach


def leads_elsewhere(before: ConnectionSpec, after: ConnectionSpec) -> bool:
    """Returns whether a change makes a connection lead to other data."""
    return (before.driver, before.url, before.database) != (after.driver, after.url, after.database)


def trusts_another(before: ConnectionSpec, after: ConnectionSpec) -> bool:
    """Returns whether a change makes secrets go to another server, or to whoever can pass for the same one."""
    return leads_elsewhere(before, after) or (before.ca_certificates, before.skip_certificate_check) != (
        after.ca_certificates,
        after.skip_certificate_check,
    )


def logs_in_anew(before: Connection, after: Connection) -> bool:
    """Returns whether a change needs another login."""
    return trusts_another(before.spec, after.spec) or (before.spec.username, before.secrets) != (
        after.spec.username,
        after.secrets,
    )


def check_spec(spec: ConnectionSpec, drivers: Sequence[str], allowed_urls: Sequence[str], *, insecure: bool) -> None:
    """Checks what the contract's field rules cannot know.

    Args:
        spec: What the caller wants.
        drivers: The drivers of this deployment.
        allowed_urls: The operator's list; each entry may have ``*``.
        insecure: Whether the operator allows certificates to go unchecked.

    Raises:
        Invalid: If the driver is unknown (DRIVER_UNKNOWN), a field that is needed is missing, or the address or the
            certificates cannot be used.
        PermissionDenied: If the address is not allowed (ADDRESS_NOT_ALLOWED).
    """
    missing = [
        Violation(f"connection.{name}", "is required", "REQUIRED")
        for name in ("driver", "url")
        if not getattr(spec, name)
    ]
    missing += [
        Violation(f"connection.user_mappings[{i}].caller", "two mappings of one caller and login", "REPEATED")
        for i, mapping in enumerate(spec.user_mappings)
        if secret_slot(mapping) in [secret_slot(other) for other in spec.user_mappings[:i]]
    ]
    if spec.skip_certificate_check and not insecure:
        missing.append(
            Violation("connection.skip_certificate_check", "is forbidden by the operator of this gateway", "FORBIDDEN")
        )
    if missing:
        raise invalid_fields(missing)
    check_reach(spec.url, spec.ca_certificates)
    if spec.driver not in drivers:
        raise faults.driver_unknown(spec.driver, drivers)
    if not any(allows(pattern, spec.url) for pattern in allowed_urls):
        raise faults.address_not_allowed(spec.url, "SUTLER_ERP_ALLOWED_URLS")


def with_secrets(
    connection: Connection, given: Mapping[str, bytes], now: float, *, keep: Mapping[str, bytes]
) -> Connection:
    """Returns a connection with newly given secrets; those that are not given stay if their user is still there.

    Args:
        connection: With the settings that the caller wants.
        given: The newly given secrets, encrypted, by slot.
        now: Epoch seconds.
        keep: What was stored before.
    """
    slots = {"", *(secret_slot(mapping) for mapping in connection.spec.user_mappings)}
    secrets = {slot: secret for slot, secret in {**keep, **given}.items() if slot in slots}

    def time(slot: str, before: float | None) -> float | None:
        return now if slot in given else (before or now) if slot in secrets else None

    mappings = tuple(
        replace(mapping, secret_update_time=time(secret_slot(mapping), mapping.secret_update_time))
        for mapping in connection.spec.user_mappings
    )
    own = time("", connection.spec.secret_update_time)
    return replace(
        connection, secrets=secrets, spec=replace(connection.spec, user_mappings=mappings, secret_update_time=own)
    )
