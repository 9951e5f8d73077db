"""What must hold of a type by itself, whatever is stored, before it is registered or changed."""

from __future__ import annotations

from sutler.errors import invalid

from services.resource.actions import compile_actions
from services.resource.compiling import compile_versions
from services.resource.names import key, parent_type
from services.resource.resource_type import Handler, ResourceType
from services.resource.telling import Problems


def check_registrable(type: str, wanted: ResourceType, *, new: bool) -> bool:
    """Checks a type by itself: names, versions, schemas, expressions, actions, and the patience with its handler.

    Args:
        type: The type that its name stands for.
        wanted: The type as it shall be.
        new: Whether there is none yet. One that is there can be closed to new resources.

    Returns:
        Whether something of it is secret.

    Raises:
        SutlerError: If something does not hold, with all that does not.
    """
    wrong = Problems()
    with wrong.noting():
        if wanted.type and key(wanted.type) != key(type):
            raise invalid("resource_type.type", f"must fit the name: {type}")
    with wrong.noting():
        _check_default(wanted, new)
    with wrong.noting():
        if parent_type(type) and wanted.allowed_scopes:
            raise invalid("resource_type.allowed_scopes", "a child type stands below its parent type and has none")
    with wrong.noting():
        _check_backoff(wanted.made_by)
    with wrong.noting():
        versions = compile_versions(wanted.versions, "resource_type.versions")
    with wrong.noting():
        actions = compile_actions(wanted)
    wrong.tell()
    return any(v.secrets for v in versions) or any(action.secrets for action in actions)


def check_parent_named(type: str, named: str) -> None:
    """Checks that the parent type that a caller names, if any, is the one that a type stands below.

    Raises:
        Invalid: If it is not (FIELD_INVALID).
    """
    fits = parent_type(type)
    if named and key(named) != key(fits):
        raise invalid("resource_type.parent_type", f"must fit the name: {fits or 'empty, as it stands in a scope'}")


def _check_default(wanted: ResourceType, new: bool) -> None:
    """Checks that the version of resources that name none can be written, unless none can any more."""
    if not wanted.versions:
        raise invalid("resource_type.versions", "at least one version is needed")
    default = wanted.find(wanted.default_version)
    usable = [version.version for version in wanted.versions if not version.retired]
    if not usable and new:
        raise invalid("resource_type.versions", "all are retired, so nothing could be created; leave one that is not")
    if usable and default.retired:
        raise invalid(
            "resource_type.default_version",
            f"the version of resources that name none would be {default.version}, which is retired; "
            f"set one of: {', '.join(usable)}",
        )


def _check_backoff(handler: Handler) -> None:
    first, longest = handler.min_backoff, handler.max_backoff
    if first is not None and longest is not None and first > longest:
        raise invalid(
            "resource_type.handler.min_backoff", f"must not be more than max_backoff: {first:g} s against {longest:g} s"
        )
