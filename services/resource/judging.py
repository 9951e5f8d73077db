"""What policies say of a change: what they set first, what they refuse, and what they find worth knowing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sutler.errors import Invalid, PermissionDenied, Violation, invalid
from sutler.expressions import Bindings, EvaluationFailed
from sutler.validation import MAX_VIOLATIONS

from services.resource.blaming import Source, blame
from services.resource.callers import Caller
from services.resource.defaults import check_size
from services.resource.documents import (
    as_seen_by_rules,
    declared_document,
    document,
    from_declared_document,
)
from services.resource.names import parse
from services.resource.policies import ENVIRONMENT, TYPE, Effect, Policy, PolicyRule
from services.resource.policy_rules import compile_policy
from services.resource.ports import Above, View
from services.resource.recent import Recent
from services.resource.resource import Declared, Finding, Resource
from services.resource.scopes import is_scope
from services.resource.settable import MAX_TAGS, unfit

KEPT = 10_000
"""How many compiled policies are kept."""

JUDGING_SECONDS = 1.0
"""How long the policies of one change may take; nothing else is served meanwhile."""

MAX_FINDINGS = 50
"""How many findings of policies a resource has; the rest of the contract's 100 is for its handler."""


@dataclass(frozen=True, slots=True)
class Case:
    """A change that policies are asked about.

    Attributes:
        caller: Who asks for it.
        method: What is to be done.
        itself: The resource as it would be; as it is where it does not change.
        before: The resource as it is; None if it is to be created.
        parent: The scope or resource directly above; None at the root.
        action: The id of the action; empty for the other methods.
    """

    caller: Caller
    method: Literal["create", "update", "delete", "invoke"]
    itself: Resource
    before: Resource | None = None
    parent: Resource | None = None
    action: str = ""

    def bindings(self) -> Bindings:
        """Returns what the expressions of policies see."""
        itself, old_self, parent = map(_seen, (self.itself, self.before, self.parent))
        seen = {"self": itself, "old_self": old_self, "parent": parent}
        who = {"principal": self.caller.actor, "tenant": self.caller.tenant}
        return ENVIRONMENT.bind({**seen, **who, "method": self.method, "action": self.action})


class PolicyBook:
    """Keeps compiled policies by what is stored of them."""

    def __init__(self) -> None:
        self._kept: Recent[bytes, Policy] = Recent(KEPT)

    def of(self, view: View, name: str, above: Iterable[Above], group: str = "") -> tuple[Policy, ...]:
        """Returns the policies that hold for a resource: those of the scopes higher up come first.

        Args:
            view: The store at one moment.
            name: The resource; policies that stand in itself count, if it is a scope.
            above: What is above it, the nearest first, then management groups.
            group: The management group that it is to belong to, if it names one.
        """
        above = [*above, *(view.groups(group) if group else ())]
        itself = (name,) if is_scope(parse(name).type) else ()
        scopes = [*itself, *(scope.name for scope in above if is_scope(scope.type)), ""]
        return tuple(self._compiled(view, found) for found in view.standing(TYPE, scopes[::-1]))

    def below(self, view: View, name: str) -> tuple[Policy, ...]:
        """Returns the policies that stand below a resource."""
        return tuple(self._compiled(view, found) for found in view.standing_below(TYPE, name))

    def _compiled(self, view: View, found: Above) -> Policy:
        return self._kept.get(found.digest, lambda: _compile(view, found))


def _compile(view: View, found: Above) -> Policy:
    stored = view.resource(found.name)
    assert stored is not None  # it was found in the same view
    return compile_policy(stored.name, stored.declared.properties, found.digest)


def with_defaults(policies: Sequence[Policy], case: Case) -> tuple[Declared, Mapping[str, Source]]:
    """Returns what is wished, with what policies set where nothing is set; and what they have set, by its path.

    Raises:
        PermissionDenied: If a rule cannot be evaluated, or gives what its field cannot take (EXPRESSION_FAILED).
        Invalid: If more would be set than a resource can hold (TOO_LARGE).
    """
    sources: dict[str, Source] = {}
    ends = time.monotonic() + JUDGING_SECONDS
    for policy, rule in _rules(policies, case.itself, (Effect.SET_DEFAULT,)):
        if time.monotonic() > ends:
            raise _failed(policy, rule, f"all policies together took longer than {JUDGING_SECONDS:g} s")
        fields = declared_document(case.itself.declared)
        absent = _absent(fields, rule.field)
        if not absent:
            continue
        bindings = case.bindings()
        try:
            if not rule.condition.test(bindings):
                continue
            value = rule.value if rule.value_expression is None else rule.value_expression.evaluate(bindings)
        except EvaluationFailed as error:
            raise _failed(policy, rule, str(error)) from error
        if wrong := unfit(rule.field, value):
            raise _failed(policy, rule, wrong)
        wished = from_declared_document(_set(fields, rule.field, value), case.itself.declared.secrets)
        sources[absent] = Source(policy, rule)
        _check_room(wished, sources[absent])
        case = replace(case, itself=replace(case.itself, declared=wished))
    return case.itself.declared, sources


def judge(policies: Sequence[Policy], case: Case) -> tuple[Finding, ...]:
    """Returns what policies find worth knowing of a change.

    Raises:
        PermissionDenied: If one refuses it, with all that do (POLICY_DENIED); if one that may refuse cannot be
            evaluated (EXPRESSION_FAILED).
    """
    rules = list(_rules(policies, case.itself, (Effect.DENY, Effect.AUDIT)))
    if not rules:
        return ()
    bindings = case.bindings()
    denied: list[tuple[Policy, PolicyRule]] = []
    findings: list[Finding] = []
    ends = time.monotonic() + JUDGING_SECONDS
    for policy, rule in rules:
        if time.monotonic() > ends:
            raise _failed(policy, rule, f"all policies together took longer than {JUDGING_SECONDS:g} s")
        try:
            holds = rule.condition.test(bindings)
        except EvaluationFailed as error:
            if rule.effect is Effect.DENY:
                raise _failed(policy, rule, str(error)) from error
            findings.append(Finding(policy.name, rule.id, rule.field, f"could not be evaluated: {error}"[:1024]))
            continue
        if holds and rule.effect is Effect.DENY:
            denied.append((policy, rule))
        elif holds:
            findings.append(Finding(policy.name, rule.id, rule.field, rule.message))
    if denied:
        raise _denied(case.itself, denied)
    return tuple(findings[:MAX_FINDINGS])


def refuses(policies: Iterable[Policy]) -> bool:
    """Returns whether any of these policies can refuse something."""
    return any(rule.effect is Effect.DENY for policy in policies for rule in policy.rules)


def _seen(resource: Resource | None) -> Mapping[str, Any] | None:
    return None if resource is None else as_seen_by_rules(document(resource))


def _rules(
    policies: Sequence[Policy], resource: Resource, effects: tuple[Effect, ...]
) -> Iterable[tuple[Policy, PolicyRule]]:
    for policy in policies:
        if policy.concerns(resource.name, resource.type):
            yield from ((policy, rule) for rule in policy.rules if rule.effect in effects)


def _denied(resource: Resource, denied: Sequence[tuple[Policy, PolicyRule]]) -> PermissionDenied:
    policy, rule = denied[0]
    return PermissionDenied(
        f"the rule {rule.id} of {policy.name} refuses this for {resource.name}: {rule.message or rule.condition.text}",
        reason="POLICY_DENIED",
        metadata={"policy": policy.name, "rule": rule.id, "scope": policy.scope},
        violations=[
            Violation(
                f"resource.{rule.field}" if rule.field else "resource",
                f"{rule.message or 'refused'} ({policy.name})",
                rule.id,
            )
            for policy, rule in denied[:MAX_VIOLATIONS]
        ],
        more=len(denied) - 1,
        resource=resource.name,
    )


def _failed(policy: Policy, rule: PolicyRule, cause: str) -> PermissionDenied:
    return PermissionDenied(
        f"the rule {rule.id} of {policy.name} could not be evaluated: {cause}",
        reason="EXPRESSION_FAILED",
        metadata={"source": policy.name, "rule": rule.id, "scope": policy.scope, "cause": cause},
    )


def _check_room(wished: Declared, source: Source) -> None:
    """Checks that a resource can hold what a policy has set last."""
    try:
        check_size(wished.properties)
        if len(wished.tags) > MAX_TAGS:
            raise invalid("resource.tags", f"would be more than {MAX_TAGS}", reason="TOO_LARGE")
    except Invalid as error:
        blame(error, {"properties": source, "tags": source})
        raise


def _steps(field: str) -> list[str]:
    """Returns the keys of a field that may be set; the key of a tag may hold dots itself."""
    head, _, rest = field.partition(".")
    return [head, rest] if head == "tags" else field.split(".")


def _absent(fields: Mapping[str, Any], field: str) -> str:
    """Returns how far a field must be followed to what is not there yet; empty if it is set."""
    found: Any = fields
    steps = _steps(field)
    for depth, step in enumerate(steps, 1):
        if not isinstance(found, Mapping):
            return ""  # something else stands there, for the schema to judge
        if step not in found:
            return ".".join(steps[:depth])
        found = found[step]
    return ""


def _set(fields: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    first, *rest = _steps(field)
    done = dict(fields)
    at = done
    for step in rest:
        inner = dict(at.get(first, {}))
        at[first] = inner
        at, first = inner, step
    at[first] = value
    return done
