"""What somebody wants a resource to be, completed and checked against its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sutler.errors import Invalid, PermissionDenied, SutlerError, Violation
from sutler.validation import MAX_VIOLATIONS

from services.resource import hiding, paths, policies, policy_rules, quotas
from services.resource.blaming import Source
from services.resource.compiling import Compiled
from services.resource.defaults import check_size
from services.resource.differences import same
from services.resource.documents import (
    as_seen_by_rules,
    declared_document,
    document,
    from_declared_document,
)
from services.resource.names import BUILT_IN, Name, key
from services.resource.policies import Policy
from services.resource.ports import Above
from services.resource.resource import Declared, Finding, Lock, Resource
from services.resource.resource_type import ResourceType
from services.resource.rules import Broken, broken
from services.resource.secrets import Path
from services.resource.states import State

PREFIX = "resource"
"""Where the resource stands in a request; paths of violations begin with it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A wish, with all that decides about it.

    Attributes:
        tenant: Whose it is.
        name: The name, in its right case.
        type: The type.
        compiled: The version of the type under which it is to be written.
        before: The resource as it is; None if it is to be created.
        wished: What is wished.
        above: What is above it, the nearest first, then management groups.
        parent: The scope or resource directly above, if a rule or policy wants to see it.
        policies: What holds for it, the highest scope first.
        sources: Which policies have set something, by its path.
        findings: What policies found.
        denial: Why policies refuse it; None if they do not.
        lifts: The locks that it may pass, by the uids of their resources.
        most: How many of its type may stand in one scope; 0 for any number.
        quotas: How many quotas hold for it.
    """

    tenant: str
    name: Name
    type: ResourceType
    compiled: Compiled
    before: Resource | None
    wished: Declared
    above: tuple[Above, ...] = ()
    parent: Resource | None = None
    policies: tuple[Policy, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    denial: PermissionDenied | None = None
    lifts: Mapping[str, Lock] = field(default_factory=dict)
    most: int = 0
    quotas: int = 0

    @property
    def would_be(self) -> Resource:
        """The resource as it would be, without what only a real run can know."""
        if self.before is not None:
            return replace(self.before, declared=self.wished)
        return Resource(self.tenant, self.name.text, "", self.type.type, self.wished)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do: it is there already as it is wished."""
        before = self.before
        if before is None or before.state in (State.FAILED, State.CANCELED):
            return False
        return same(before.declared, self.wished)

    @property
    def size(self) -> int:
        """About how many bytes of JSON it has, with what is there already."""
        return self.wished.size + (self.before.size if self.before is not None else 0)

    @property
    def group(self) -> str:
        """The nearest management group above; empty if there is none."""
        return nearest_group(self.above)


def nearest_group(above: Iterable[Above]) -> str:
    """Returns the nearest management group of what is above a resource; empty if there is none."""
    for scope in above:
        if key(scope.type) == key(f"{BUILT_IN}/managementGroups"):
            return scope.name
        if scope.group:
            return scope.group
    return ""


def completed(proposal: Proposal) -> Proposal:
    """Returns a proposal with the schema's defaults filled in and normalizations done.

    Raises:
        Invalid: If its properties are larger or deeper than open data may be (TOO_LARGE).
    """
    fields = proposal.compiled.completed(declared_document(proposal.wished))
    check_size(fields["properties"])
    fields["type_version"] = proposal.compiled.version.version
    return replace(proposal, wished=from_declared_document(fields, proposal.compiled.secrets))


def check_content(proposal: Proposal, stored: Resource | None = None) -> None:
    """Checks a completed proposal against the schema and the rules of its type.

    Args:
        proposal: The proposal.
        stored: What rules see as ``self`` if it is not the resource as it would be.

    Raises:
        Invalid: With every violation (RESOURCE_INVALID); if no rule is simply false but one could not be evaluated,
            EXPRESSION_FAILED; if a field would change that cannot, FIELD_IMMUTABLE.
    """
    _check_immutable(proposal)
    schema = proposal.compiled.schema
    secrets = proposal.compiled.secrets
    found = [] if schema is None else hiding.violations(schema, proposal.wished.properties, secrets)
    wrong = [_below(violation, "properties") for violation in found]
    rules = _broken_rules(proposal, stored or proposal.would_be)
    # On values of the wrong type rules fail for that reason alone; then only what is simply false is worth telling.
    told = [rule for rule in rules if not (wrong and rule.failure)]
    violations = [*wrong, *(_below(rule.violation) for rule in told)]
    if violations:
        raise _invalid(proposal, violations, told)
    if proposal.type.builtin:
        _check_built_in(proposal)


def _check_built_in(proposal: Proposal) -> None:
    """Checks what the schema of a built-in type cannot say."""
    if key(proposal.type.type) == key(policies.TYPE):
        policy_rules.compile_policy(proposal.name.text, proposal.wished.properties)
    elif key(proposal.type.type) == key(quotas.TYPE):
        quotas.parse_quota(proposal.would_be)


def check_outputs(compiled: Compiled, outputs: Any) -> str:
    """Returns what is wrong with outputs of a handler; empty if they fit the version's output schema."""
    if compiled.outputs is None:
        return ""
    found = hiding.violations(compiled.outputs, outputs, ())
    return "; ".join(f"{v.field or 'outputs'}: {v.description}"[:200] for v in found[:5])


def rejected(
    type: str, violations: Sequence[Violation], secrets: Sequence[Path], *, prefix: str = PREFIX, of: str = "properties"
) -> Invalid:
    """Returns the error for what the Validate of a type's handler refused.

    Args:
        type: The type.
        violations: What it refused.
        secrets: Where secrets stand, of which only the place is told.
        prefix: What comes before its paths.
        of: The field in which the secrets stand.
    """
    told = [
        _below(Violation(hiding.shown(found.field, of, secrets), found.description, found.reason), prefix=prefix)
        for found in violations
    ]
    return _error("HANDLER_REJECTED", told, {"type": type})


def _check_immutable(proposal: Proposal) -> None:
    if proposal.before is None:
        return
    old, new = declared_document(proposal.before.declared), declared_document(proposal.wished)
    for text, steps in proposal.compiled.immutable:
        if paths.values(old, steps) != paths.values(new, steps):
            raise immutable(f"{PREFIX}.{text}")


def immutable(field: str) -> SutlerError:
    """Returns the error for a field that cannot change after creation."""
    return Invalid(
        f"{field} cannot change after creation; create another resource instead",
        reason="FIELD_IMMUTABLE",
        metadata={"field": field},
        violations=[Violation(field, "cannot change after creation", "FIELD_IMMUTABLE")],
    )


def _broken_rules(proposal: Proposal, itself: Resource) -> list[Broken]:
    if not proposal.compiled.rules:
        return []
    old, parent = proposal.before, proposal.parent
    return broken(
        proposal.compiled.rules,
        as_seen_by_rules(document(itself)),
        None if old is None else as_seen_by_rules(document(old)),
        None if parent is None else as_seen_by_rules(document(parent)),
    )


def _invalid(proposal: Proposal, violations: Sequence[Violation], rules: Sequence[Broken]) -> Invalid:
    failed = [rule for rule in rules if rule.failure]
    if len(failed) == len(violations):
        metadata = {"source": proposal.type.name, "rule": failed[0].rule, "cause": failed[0].failure}
        return _error("EXPRESSION_FAILED", violations, metadata)
    metadata = {"type": proposal.type.type, "version": proposal.compiled.version.version}
    return _error("RESOURCE_INVALID", violations, metadata)


def _error(reason: str, violations: Sequence[Violation], metadata: dict[str, str]) -> Invalid:
    first, total = violations[0], len(violations)
    return Invalid(
        f"{first.field}: {first.description}",
        reason=reason,
        metadata={**metadata, "violations": str(total)},
        violations=violations[:MAX_VIOLATIONS],
        more=total - 1,
    )


def _below(violation: Violation, *parts: str, prefix: str = PREFIX) -> Violation:
    """Returns a violation with its path as it stands in the request, and a description of bounded length."""
    path = ".".join(part for part in (prefix, *parts) if part)
    if violation.field:
        path += violation.field if not path or violation.field.startswith("[") else f".{violation.field}"
    description = violation.description
    return Violation(path, description if len(description) <= 300 else f"{description[:300]}…", violation.reason)
