"""Says which policy set a field that an error is about: the caller sent nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sutler.errors import SutlerError

from services.resource.policies import Policy, PolicyRule


@dataclass(frozen=True, slots=True)
class Source:
    """What set a field.

    Attributes:
        policy: The policy.
        rule: Its rule.
    """

    policy: Policy
    rule: PolicyRule


def blame(error: SutlerError, sources: Mapping[str, Source]) -> None:
    """Has an error name the policies that set what it is about.

    Args:
        error: The error; its fields begin with ``resource``.
        sources: What policies have set, by the path in the resource.
    """
    if not sources:
        return
    fields = [violation.field for violation in error.violations] or [error.metadata.get("field", "")]
    found = [_source(field, sources) for field in fields]
    first = next((source for source in found if source), None)
    if first is None:
        return
    error.violations = tuple(
        replace(violation, description=f"{violation.description}; {_told(source)}") if source else violation
        for violation, source in zip(error.violations, found, strict=False)
    )
    error.base += f"; {_told(first)}"
    if "rule" not in error.metadata:
        error.metadata |= {"policy": first.policy.name, "rule": first.rule.id, "scope": first.policy.scope}


def _told(source: Source) -> str:
    return f"set by the rule {source.rule.id} of {source.policy.name}"


def _source(field: str, sources: Mapping[str, Source]) -> Source | None:
    """Returns what set a field, or the innermost thing that it stands in."""
    at = field.removeprefix("resource.")
    around = [path for path in sources if at == path or at.startswith((f"{path}.", f"{path}["))]
    return sources[max(around, key=len)] if around else None
