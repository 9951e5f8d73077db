"""What a change needs beside the permission of its RPC, by what it does."""

from __future__ import annotations

from sutler.auth import authorize
from sutler.context import Principal

from services.resource.linking import groups_changed
from services.resource.ports import View
from services.resource.resource import Declared, Resource
from services.resource.taking import DELETE, check_may_take

CREATE = "resource.resources.create"
UPDATE = "resource.resources.update"


def check_permitted(
    view: View, principal: Principal, name: str, type: str, wished: Declared, before: Resource | None
) -> None:
    """Checks that a principal, and whoever stands behind it, may do all that a change of a resource does.

    To set a time at which it expires is to delete it. To leave or join a management group changes what holds for the
    resource, what counts for the group, and who reads it through the group; so it needs what changing the group needs.

    Raises:
        PermissionDenied: Naming the permission and for what it is missing (PERMISSION_MISSING).
    """
    old = before.declared if before is not None else Declared()
    if wished.expire_time is not None and wished.expire_time != old.expire_time:
        authorize(principal, DELETE, [name])
        check_may_take(view, principal, name)
    groups = groups_changed(type, wished, old)
    if groups:
        authorize(principal, UPDATE, groups)
