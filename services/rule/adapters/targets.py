"""The gRPC services that the operator lets rules call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sutler.errors import PermissionDenied

from services.rule.definitions import CallMethod

Place = tuple[str, bool]
"""An address, and whether it is trusted."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where rules may call, and what.

    Attributes:
        address: ``host:port``.
        methods: The methods that may be called, such as ``acme.v1.Shop/*``.
        descriptors: The file with the descriptor set of its services; the server is asked by reflection if empty.
        trusted: Whether calls carry this service's token, with which its holder may act for others, and tell the
            rule's author.
    """

    address: str
    methods: tuple[str, ...] = ("*",)
    descriptors: str = ""
    trusted: bool = False

    @property
    def place(self) -> Place:
        """What a connection to it is kept under."""
        return self.address, self.trusted

    def allows(self, method: str) -> bool:
        """Returns whether a method may be called."""
        return any(fnmatchcase(method, pattern) for pattern in self.methods)


def target_of(do: CallMethod, targets: Mapping[str, Target]) -> Target:
    """Returns the target of a call.

    Raises:
        PermissionDenied: If the operator allows no call of the method (METHOD_NOT_ALLOWED).
    """
    target = targets.get(do.target or do.method.partition("/")[0])
    if target is None:
        raise _not_allowed(do, "add its service to")
    if not target.allows(do.method):
        raise _not_allowed(do, f"add it to the methods of the target {do.target or do.method.partition('/')[0]} in")
    return target


def _not_allowed(do: CallMethod, remedy: str) -> PermissionDenied:
    return PermissionDenied(
        f"rules may not call {do.method}: the operator must {remedy} SUTLER_RULE_TARGETS",
        reason="METHOD_NOT_ALLOWED",
        metadata={"method": do.method},
    )
