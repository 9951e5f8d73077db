"""Makes of what is sent a proposal: a change with all that decides about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sutler.errors import invalid, not_found
from sutler.etags import check_etag

from services.resource.callers import Caller
from services.resource.compiling import Compiler
from services.resource.counting import number_above
from services.resource.judging import PolicyBook
from services.resource.linking import group_of
from services.resource.names import Name, compose, key, parse
from services.resource.permitting import check_permitted
from services.resource.ports import Above, View
from services.resource.proposals import Proposal, immutable
from services.resource.resource import Declared, Resource
from services.resource.resource_type import ResourceType, unknown_type


@dataclass(frozen=True, slots=True)
class Sent:
    """A resource as a caller sent it.

    Attributes:
        type: The type that it names; may be empty where the resource exists.
        etag: The etag that must still be the current one; empty if any will do.
        onto: Returns what is declared once the fields sent have been merged onto a resource, or onto none.
        size: How many bytes were sent.
    """

    type: str
    etag: str
    onto: Callable[[Resource | None], Declared]
    size: int = 0


class Proposer:
    """Makes proposals.

    Args:
        compiler: Compiles types.
        policies: Compiles policies.
        limits: How many resources of a type may stand in one scope, by the key of the type.
    """

    def __init__(
        self, compiler: Compiler, policies: PolicyBook, limits: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._compiler = compiler
        self._policies = policies
        self._limits = limits

    def creation(self, view: View, caller: Caller, parent: str, id: str, sent: Sent) -> Proposal:
        """Returns a new resource as it is proposed.

        Raises:
            SutlerError: As :meth:`proposal`; if the type, the name or the parent is none.
        """
        type = view.type(sent.type)
        if type is None:
            raise unknown_type(sent.type)
        name = compose(parent, type.type, id, type.allowed_scopes)
        above = view.above(name)
        if parent:
            if not above or key(above[0].name) != key(parent):
                raise not_found(parent)
            if above[0].name != parent:
                name = compose(above[0].name, type.type, id, type.allowed_scopes)
        return self.proposal(view, caller, type, name, above, None, sent.onto(None))

    def change(self, view: View, caller: Caller, before: Resource, sent: Sent) -> Proposal:
        """Returns a change of a resource, whose secrets are open, as it is proposed.

        Raises:
            SutlerError: As :meth:`proposal`; if the etag is not its own, or the type another one.
        """
        check_etag(sent.etag, before.etag, before.name)
        if sent.type and key(sent.type) != key(before.type):
            raise immutable("resource.type")
        type = view.type(before.type)
        if type is None:
            raise unknown_type(before.type)
        wished = sent.onto(before)
        if wished.type_version != before.declared.type_version:
            wished = sent.onto(replace(before, declared=before.declared.public))
        name = parse(before.name)
        return self.proposal(view, caller, type, name, view.above(name), before, wished)

    def proposal(
        self,
        view: View,
        caller: Caller,
        type: ResourceType,
        name: Name,
        above: tuple[Above, ...],
        before: Resource | None,
        wished: Declared,
    ) -> Proposal:
        """Returns a change with all that decides about it, not yet completed.

        Raises:
            FailedPrecondition: If the version of the type cannot be written (TYPE_VERSION_UNAVAILABLE).
            Invalid: If a time to expire that is new is over already (FIELD_INVALID).
            PermissionDenied: If the caller may not do all of it (PERMISSION_MISSING).
        """
        version = type.find(wished.type_version)
        if version.retired and (before is None or before.declared.type_version != version.version):
            raise type.unavailable(version.version)
        compiled = self._compiler.compiled(type, version)
        if wished.secrets != compiled.secrets:
            wished = replace(wished, secrets=compiled.secrets)
        check_permitted(view, caller.principal, name.text, type.type, wished, before)
        expires = wished.expire_time
        if expires is not None and not (before and before.declared.expire_time == expires) and expires <= view.now:
            raise invalid("resource.expire_time", "must be in the future")
        policies = self._policies.of(view, name.text, above, group_of(type.type, wished))
        sees = (compiled.sees_parent or policies) and name.parent
        parent = view.resource(name.parent) if sees else None
        return Proposal(
            tenant=view.tenant,
            name=name,
            type=type,
            compiled=compiled,
            before=before,
            wished=wished,
            above=above,
            parent=parent,
            policies=policies,
            lifts=caller.lifts,
            most=self._limits.get(type.key, 0) if type.builtin else 0,
            quotas=number_above(view, above),
        )
