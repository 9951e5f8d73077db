"""How many machines there may be."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.errors import Exhausted, Violation

from services.provider.ports import Book
from services.provider.providers import Provider
from services.provider.templates import Template


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the service.

    Attributes:
        max_count: The most machines that one request may ask for.
        max_machines: The most that may live at once, over all tenants; no limit if 0.
        max_tenant_machines: The most of one tenant that may live at once; no limit if 0.
    """

    max_count: int = 100
    max_machines: int = 1000
    max_tenant_machines: int = 1000


def check_limits(book: Book, limits: Limits, template: Template, provider: Provider, count: int) -> None:
    """Checks that as many more machines may live.

    Args:
        book: What is stored.
        limits: The limits of the service.
        template: The template, with its defaults filled in.
        provider: The provider.
        count: How many machines are asked for.

    Raises:
        Exhausted: If a limit would be passed (MACHINE_LIMIT_EXCEEDED), with every limit that would be.
    """
    tenant = template.tenant
    per_request = min(template.max_count or limits.max_count, limits.max_count)
    bounds = [(f"one request for {template.name}", per_request, 0)]
    for scope, limit, where in (
        ("this service", limits.max_machines, {}),
        (f"tenant {tenant}", limits.max_tenant_machines, {"tenant": tenant}),
        (template.name, template.max_machines, {"tenant": tenant, "template": template.name}),
        (provider.name, provider.max_machines, {"tenant": tenant, "provider": provider.name}),
    ):
        if limit:
            bounds.append((scope, limit, book.machines.count_live(**where)))
    passed = [(scope, limit, used) for scope, limit, used in bounds if used + count > limit]
    if not passed:
        return
    scope, limit, used = passed[0]
    raise Exhausted(
        f"{count} more machines would pass the limit of {limit} for {scope}, where {used} live already",
        reason="MACHINE_LIMIT_EXCEEDED",
        metadata={"scope": scope, "limit": str(limit), "used": str(used), "requested": str(count)},
        violations=[
            Violation(scope, f"limit {limit}, used {used}, requested {count}") for scope, limit, used in passed
        ],
    )
