"""What a delete takes along: whoever asks for it must be permitted to delete each resource below."""

from __future__ import annotations

from sutler.auth import is_granted
from sutler.context import Principal
from sutler.errors import PermissionDenied

from services.resource.ports import View

DELETE = "resource.resources.delete"
CHUNK = 1000


def check_may_take(view: View, principal: Principal, name: str) -> None:
    """Checks that a principal, and whoever stands behind it, may delete all below a resource.

    Raises:
        PermissionDenied: Naming the first that it may not delete (PERMISSION_MISSING).
    """
    asking = (principal,) if principal.on_behalf_of is None else (principal, principal.on_behalf_of)
    limited = [who for who in asking if not is_granted(who.grants, DELETE, ())]
    last = ""
    while limited and (names := view.names_below(name, CHUNK, last)):
        for child in names:
            for who in limited:
                if not is_granted(who.grants, DELETE, (child,)):
                    raise _missing(who, child)
        last = names[-1]


def _missing(who: Principal, child: str) -> PermissionDenied:
    return PermissionDenied(
        f"{who.subject} lacks the permission {DELETE} for {child}, which would go too",
        metadata={"permission": DELETE, "principal": who.subject},
        resource=child,
    )
