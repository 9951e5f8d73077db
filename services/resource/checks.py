"""The stages that a change must pass, in their order; the first that fails answers, with all that it finds.

Each stage sees the store at one moment and the completed proposal. Before them come shape, completion, schema and
rules (:mod:`services.resource.proposals`), after them the handler's own Validate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sutler.errors import AlreadyExists, Conflict, Exhausted, FailedPrecondition, Violation

from services.resource.counting import Totals, quotas_above, quotas_of_group
from services.resource.differences import same
from services.resource.linking import check_references, group_of
from services.resource.moving import clash, key_of, moved
from services.resource.names import is_below, key
from services.resource.ports import Above, View
from services.resource.proposals import Proposal
from services.resource.quotas import Quota
from services.resource.resource import Declared, Lock, Resource
from services.resource.states import State

Stage = Callable[[View, Proposal], None]


def check_standing(view: View, proposal: Proposal) -> None:
    """Checks that nothing above is being deleted, and that no operation works on the resource itself.

    Raises:
        FailedPrecondition: If something above, or the resource itself, is being deleted (STATE_INVALID).
        Conflict: If an operation works on the resource (OPERATION_IN_PROGRESS).
    """
    check_free(proposal.name.text, proposal.before, proposal.above)


def check_free(name: str, resource: Resource | None, above: Iterable[Above]) -> None:
    """Checks as :func:`check_standing`, for a resource that is, or None, and what is above it."""
    if resource is not None and resource.state is State.DELETING:
        raise being_deleted(resource.name)
    for scope in above:
        if scope.state is State.DELETING and is_below(name, scope.name):
            raise being_deleted(scope.name)
    if resource is not None and resource.operation:
        raise in_progress(resource.name, resource.operation)


def check_lock(view: View, proposal: Proposal) -> None:
    """Checks that neither the resource nor anything above it is read only.

    Raises:
        FailedPrecondition: If it is (LOCKED); an update of the lock itself passes the resource's own lock.
    """
    before = proposal.before
    if proposal.idle:
        return
    own = before is not None and _is_closed(before.uid, before.declared.lock, proposal)
    if before is not None and own and not _only_lock_differs(before.declared, proposal.wished):
        raise locked(before.name, before.declared.lock, before.name)
    group = group_of(proposal.type.type, proposal.wished)
    for scope in (*proposal.above, *(view.groups(group) if group else ())):
        if _is_closed(scope.uid, scope.lock, proposal):
            raise locked(proposal.name.text, scope.lock, scope.name)


def _is_closed(uid: str, lock: Lock, proposal: Proposal) -> bool:
    """Returns whether a lock forbids a change: it is the strongest, and not one that the change may pass."""
    return lock is Lock.READ_ONLY and proposal.lifts.get(uid) is not lock


def check_policy(view: View, proposal: Proposal) -> None:
    """Checks that no policy refuses the change, which was found out before.

    Raises:
        PermissionDenied: If one does (POLICY_DENIED), or could not be evaluated (EXPRESSION_FAILED).
    """
    if proposal.denial is not None:
        raise proposal.denial


def check_unique(view: View, proposal: Proposal) -> None:
    """Checks that name and key are free.

    Raises:
        AlreadyExists: If the name is taken, or another resource holds the key of the type's scopes (NOT_UNIQUE).
    """
    taken, holder = view.taken(proposal.name.text, proposal_key(proposal) or b"")
    if proposal.before is None and taken is not None:
        raise name_taken(taken)
    if holder is not None and key(holder) != proposal.name.key:
        raise not_unique(proposal, holder)
    found = clash(view, moved(view, proposal))
    if found is not None:
        raise not_unique(replace(proposal, type=found[0].type), found[1])


def check_quota(view: View, proposal: Proposal) -> None:
    """Checks that every quota has room for the change.

    Raises:
        Exhausted: If one does not, with all that do not (QUOTA_EXCEEDED); or if a policy or quota would be one too many
            in its scope (LIMIT_REACHED).
    """
    _check_number(view, proposal)
    if not view.has_quotas():
        return
    before, after = proposal.before, proposal.would_be
    group = group_of(after.type, after.declared)
    joins = key(group) != key(group_of(before.type, before.declared) if before else "")
    exceeded: list[tuple[Quota, float]] = []
    for quota in quotas_above(view, proposal.above):
        wanted = quota.amount(after) - quota.amount(before)
        if wanted > 0 and quota.used + wanted > quota.limit:
            exceeded.append((quota, wanted))
    if joins and group:
        held = {quota.name for quota in quotas_above(view, proposal.above)} if before else set()
        totals = Totals(view, proposal.name.text)
        for quota in sorted(quotas_of_group(view, group), key=lambda quota: key(quota.name)):
            wanted = quota.amount(after) + totals.of(quota) if quota.name not in held else 0
            if wanted > 0 and quota.used + wanted > quota.limit:
                exceeded.append((quota, wanted))
    if exceeded:
        raise _quota_exceeded(proposal, exceeded)


def _check_number(view: View, proposal: Proposal) -> None:
    """Checks that a scope gets no more policies or quotas than are looked at for each change."""
    if proposal.before is not None or not proposal.most:
        return
    scope, type = proposal.name.parent, proposal.type.type
    there = len(view.standing(type, [scope]))
    if there >= proposal.most:
        raise Exhausted(
            f"{scope or 'the tenant'} has {there} of {type} directly in it, and no more than {proposal.most} may be: "
            "put several into one, or some into a scope below",
            reason="LIMIT_REACHED",
            metadata={"type": type, "scope": scope, "limit": str(proposal.most)},
            violations=[Violation(scope or "tenant", f"limit {proposal.most}, there are {there}", "LIMIT_REACHED")],
            resource=proposal.name.text,
        )


STAGES: tuple[Stage, ...] = (check_standing, check_lock, check_references, check_policy, check_unique, check_quota)
"""What a create or update passes after schema and rules."""


def proposal_key(proposal: Proposal) -> bytes | None:
    """Returns the key that a resource must hold alone; None if its type lists no scopes."""
    if not proposal.type.uniqueness_scopes:
        return None
    return key_of(proposal.type.type, proposal.name.text, proposal.group, proposal.type.uniqueness_scopes)


def in_progress(name: str, operation: str) -> Conflict:
    """Returns the error for a resource on which an operation works."""
    return Conflict(
        f"{operation} works on {name}; wait until it has ended, or cancel it",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": operation},
        resource=name,
    )


def locked(name: str, lock: Lock, holder: str) -> FailedPrecondition:
    """Returns the error for a lock that forbids a change."""
    return FailedPrecondition(
        f"the lock {lock.name} of {holder} forbids this for {name}; lift it first, in an update of `lock` alone",
        reason="LOCKED",
        metadata={"lock": lock.name, "holder": holder},
        resource=name,
    )


def name_taken(name: str) -> AlreadyExists:
    """Returns the error for a name that is taken."""
    return AlreadyExists(f"{name} exists already; change it with UpdateResource, or choose another id", resource=name)


def not_unique(proposal: Proposal, holder: str) -> AlreadyExists:
    """Returns the error for a key that another resource holds."""
    scopes = ", ".join(scope.name for scope in sorted(proposal.type.uniqueness_scopes))
    return AlreadyExists(
        f"{holder} has this id already, and {proposal.type.type} allows it once within {scopes}; choose another id",
        reason="NOT_UNIQUE",
        metadata={"holder": holder, "scopes": scopes},
        resource=proposal.name.text,
    )


def _quota_exceeded(proposal: Proposal, exceeded: Sequence[tuple[Quota, float]]) -> Exhausted:
    quota, wanted = exceeded[0]
    name = proposal.name.text
    return Exhausted(
        f"{quota.name} allows {quota.limit} in {quota.scope or 'the tenant'}; {quota.used:g} are used, and {name} "
        f"would take {wanted:g} more",
        reason="QUOTA_EXCEEDED",
        metadata={
            "quota": quota.name,
            "scope": quota.scope,
            "limit": str(quota.limit),
            "used": f"{quota.used:g}",
            "requested": f"{wanted:g}",
        },
        violations=[
            Violation(quota.name, f"limit {quota.limit}, used {quota.used:g}, requested {wanted:g}", "QUOTA_EXCEEDED")
            for quota, wanted in exceeded
        ],
        resource=name,
    )


def _only_lock_differs(old: Declared, new: Declared) -> bool:
    return same(old, replace(new, lock=old.lock))


def being_deleted(name: str) -> FailedPrecondition:
    """Returns the error for a resource that is being deleted."""
    return FailedPrecondition(f"{name} is being deleted", metadata={"state": State.DELETING.name}, resource=name)
