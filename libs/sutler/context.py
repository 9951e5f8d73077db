"""Who calls, for which tenant, and under which ids: what every layer may ask of the call it works for."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls.

    Attributes:
        subject: The token's ``sub``, such as ``user:anna`` or ``service:rule``.
        tenant: The tenant that the principal belongs to.
        grants: The token's ``permissions``, each ``<area>.<collection>.<verb>[:<pattern>]``.
        on_behalf_of: For a service's own token: the principal whose work it does; both must be allowed.
    """

    subject: str
    tenant: str = DEFAULT_TENANT
    grants: tuple[str, ...] = ()
    on_behalf_of: Principal | None = None

    @property
    def actor(self) -> str:
        """The one whose will is done: the principal behind a service, else the caller."""
        return self.on_behalf_of.subject if self.on_behalf_of else self.subject


ANONYMOUS = Principal("anonymous", grants=("*.*.*",))
"""The caller where authentication is off, which only loopback allows."""


@dataclass(slots=True)
class Call:
    """One call while it is served.

    Attributes:
        method: The full method, ``/package.Service/Method``.
        principal: Who calls; set by the auth interceptor.
        tenant: Whose data are seen.
        correlation_id: Ties log lines, traces and errors together.
        deadline: When the caller stops waiting, on the clock of :func:`time.monotonic`; None if never.
        headers: The caller's metadata, keys in lower case; of a repeated key the last value.
        code: The gRPC code of the answer, for telemetry; 0 is OK.
        reason: The reason of the error, empty if there is none.
        log: More fields for the call's log line.
    """

    method: str
    principal: Principal = ANONYMOUS
    tenant: str = DEFAULT_TENANT
    correlation_id: str = ""
    deadline: float | None = None
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    code: int = 0
    reason: str = ""
    log: dict[str, object] = field(default_factory=dict)

    def header(self, key: str) -> str:
        """Returns a header's text, empty if it is absent or binary."""
        value = self.headers.get(key, "")
        return value if isinstance(value, str) else ""


_current: ContextVar[Call | None] = ContextVar("sutler_call", default=None)

BACKGROUND = Call("background")


def current() -> Call:
    """Returns the call that the current task serves; :data:`BACKGROUND` outside of one."""
    return _current.get() or BACKGROUND


def set_current(call: Call) -> None:
    """Makes ``call`` the current one for this task and those it starts."""
    _current.set(call)
