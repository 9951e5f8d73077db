"""Who asks for a change, and under which ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sutler.auth import encode_principal
from sutler.context import Principal

from services.resource.history import Cause, Change, Entry
from services.resource.resource import Lock


@dataclass(frozen=True, slots=True)
class Caller:
    """One call, as the domain sees it.

    Attributes:
        tenant: Whose data are concerned.
        principal: Who calls.
        method: The RPC, such as ``CreateResource``.
        request_id: The id that the caller chose; empty if it chose none.
        correlation_id: Ties log lines, traces and errors together.
        traceparent: The W3C trace context; empty if there is none.
        cause: What leads to the call.
        origin: The resource whose handler calls, where the cause says so.
        stack: The stack for which this is done; empty for a call for the resource itself.
        run: The operation of that stack.
        lifts: The locks that this may pass, by the uids of their resources.
        parts: The keys of what leaves the stack in this run; policies among them do not count for what leaves too.
    """

    tenant: str
    principal: Principal
    method: str
    request_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    cause: Cause = Cause.REQUEST
    origin: str = ""
    stack: str = ""
    run: str = ""
    lifts: Mapping[str, Lock] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()

    @property
    def actor(self) -> str:
        """The subject of the one whose will is done."""
        return self.principal.actor

    @property
    def encoded(self) -> str:
        """The one whose will is done, with grants, for what runs later in this tenant."""
        return _encoded(self.principal.on_behalf_of or self.principal, self.tenant)

    def entry(self, kind: Change, operation: str, cause: Cause | None = None) -> Entry:
        """Returns what the log says of a change that this call makes, or leads to for another cause."""
        cause = cause or self.cause
        return Entry(
            kind=kind,
            cause=Cause.STACK if self.stack else cause,
            actor=self.actor,
            origin=self.stack or (self.origin if cause is self.cause else ""),
            method=self.method,
            request_id=self.request_id,
            operation=operation,
            correlation_id=self.correlation_id,
        )


@lru_cache(maxsize=256)
def _encoded(principal: Principal, tenant: str) -> str:
    return encode_principal(replace(principal, tenant=tenant))
