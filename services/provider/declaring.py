"""Creates, changes and deletes what callers declare: providers and templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sutler.auth import authorize
from sutler.context import Principal
from sutler.errors import AlreadyExists, FailedPrecondition, invalid, not_found
from sutler.etags import check_etag, make_etag

from services.provider.ports import Shelf


class Declared(Protocol):
    """What declared things have in common."""

    @property
    def tenant(self) -> str:
        """Whose it is."""
        ...

    @property
    def name(self) -> str:
        """Its resource name."""
        ...

    @property
    def uid(self) -> str:
        """Tells it from an earlier one of the same name."""
        ...

    @property
    def revision(self) -> int:
        """Grows with every change."""
        ...


D = TypeVar("D", bound=Declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How a thing is to be changed.

    Attributes:
        tenant: Whose it is.
        name: Its resource name.
        etag: The etag that it must still have; any if empty.
        allow_missing: Whether it is created if there is none.
        validate_only: Whether to check only.
    """

    tenant: str
    name: str
    etag: str = ""
    allow_missing: bool = False
    validate_only: bool = False


def etag(thing: Declared) -> str:
    """Returns the etag of a thing as it is now."""
    return make_etag(thing.uid, thing.revision)


def get(shelf: Shelf[D], tenant: str, name: str) -> D:
    """Returns a thing.

    Raises:
        NotFound: If the tenant has none of this name.
    """
    found = shelf.get(tenant, name)
    if found is None:
        raise not_found(name)
    return found


def create(shelf: Shelf[D], thing: D, check: Callable[[D], D], *, validate_only: bool) -> D:
    """Stores a new thing and returns it.

    Args:
        shelf: Where it is kept.
        thing: The thing.
        check: Returns it with defaults filled in, or raises what is wrong with it.
        validate_only: Whether to check only.

    Raises:
        AlreadyExists: If the name is taken, ignoring ASCII case.
        SutlerError: What ``check`` raises.
    """
    checked = check(thing)
    if shelf.taken(thing.tenant, thing.name):
        raise taken(thing.name)
    return checked if validate_only else shelf.insert(checked)


def update(
    shelf: Shelf[D], principal: Principal, how: Update, merge: Callable[[D | None], D], check: Callable[[D], D]
) -> D:
    """Changes a thing, or creates it where that is allowed, and returns it.

    Args:
        shelf: Where it is kept.
        principal: Who changes it.
        how: Which thing, and under which conditions.
        merge: Returns the thing with its new values; gets the thing as it is, or None where there is none.
        check: As in :func:`create`.

    Raises:
        Invalid: If no name is given.
        NotFound: If there is none and it may not be created.
        PermissionDenied: If there is none and the principal may not create it.
        Conflict: If it has changed (ETAG_MISMATCH).
        SutlerError: What ``merge`` and ``check`` raise.
    """
    if not how.name:
        raise invalid("name", "is needed: which one is to be changed", reason="REQUIRED")
    before = shelf.get(how.tenant, how.name)
    if before is None:
        if not how.allow_missing:
            raise not_found(how.name)
        authorize(principal, f"provider.{how.name.partition('/')[0]}.create", [how.name])
        return create(shelf, merge(None), check, validate_only=how.validate_only)
    check_etag(how.etag, etag(before), how.name)
    checked = check(merge(before))
    return checked if how.validate_only else shelf.update(checked)


def delete(shelf: Shelf[D], how: Update, user: Callable[[D], str | None]) -> None:
    """Deletes a thing.

    Args:
        shelf: Where it is kept.
        how: Which thing, and under which conditions; ``allow_missing`` makes it succeed if there is none.
        user: Returns the name of what still uses it; None if nothing does.

    Raises:
        NotFound: If there is none.
        Conflict: If it has changed (ETAG_MISMATCH).
        FailedPrecondition: If something uses it (IN_USE).
    """
    found = shelf.get(how.tenant, how.name)
    if found is None:
        if how.allow_missing:
            return
        raise not_found(how.name)
    check_etag(how.etag, etag(found), how.name)
    used_by = user(found)
    if used_by is not None:
        raise FailedPrecondition(
            f"{how.name} is used by {used_by}; end or change that first",
            reason="IN_USE",
            metadata={"user": used_by},
            resource=how.name,
        )
    if not how.validate_only:
        shelf.delete(found)


def taken(name: str) -> AlreadyExists:
    """Returns the error for a name that is in use, maybe in another case."""
    return AlreadyExists(f"{name} exists already; ids are unique ignoring case", resource=name)
