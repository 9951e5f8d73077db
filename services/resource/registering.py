"""Registers resource types, and changes them only so that what is stored stays valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sutler.auth import authorize
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id

from services.resource.callers import Caller
from services.resource.compatibility import Change, Compatibility
from services.resource.describing import described
from services.resource.names import BUILT_IN, key, parent_type, spelled, type_from_id
from services.resource.ports import HandlerBook, SecretBox, Store, Unit, View
from services.resource.registrable import check_parent_named, check_registrable
from services.resource.resource_type import ResourceType, unknown_type

HANDLER_PERMISSIONS = tuple(f"resource.handlers.{verb}" for verb in ("validate", "apply", "delete", "read"))
"""What a handler may be asked to do later for whoever registers its type; so the caller must be allowed it now."""

ACTION_PERMISSION = "resource.handlers.invoke"
CREATE = "resource.resourceTypes.create"

MAX_REPEATS = 10


@dataclass(frozen=True, slots=True)
class SentType:
    """A type as a caller sent it.

    Attributes:
        id: The last part of its name.
        etag: The etag that must still be the current one; empty if any will do.
        onto: Returns the type once the fields sent have been merged onto the stored one, or onto none.
        parent: The parent type that it names; empty if it names none.
    """

    id: str
    etag: str
    onto: Callable[[ResourceType | None], ResourceType]
    parent: str = ""


class Registrations:
    """Registers, changes and deletes types.

    Args:
        store: Where they are kept.
        book: Says which handlers there are.
        box: Encrypts secrets.
        compatibility: Checks changes against what is stored.
    """

    def __init__(self, store: Store, book: HandlerBook, box: SecretBox, compatibility: Compatibility) -> None:
        self._store = store
        self._book = book
        self._box = box
        self._compatibility = compatibility

    async def create(self, caller: Caller, sent: SentType, *, once: Once | None, validate_only: bool) -> ResourceType:
        """Registers a type.

        Args:
            caller: Who asks; the handler acts for it.
            sent: The type.
            once: How the answer, the type, is remembered.
            validate_only: Checks and changes nothing.

        Raises:
            SutlerError: As the contract of CreateResourceType says.
        """
        wanted = self._new(caller, sent)

        def change(unit: Unit) -> ResourceType:
            _check_parent(unit, wanted)
            stored = unit.put_type(None, replace(wanted, create_time=unit.now, update_time=unit.now))
            if stored is None:
                raise _taken(wanted)
            unit.remember(once, stored)
            return stored

        def check(view: View) -> ResourceType:
            _check_parent(view, wanted)
            if view.type(wanted.type) is not None:
                raise _taken(wanted)
            return wanted

        if validate_only:
            return await self._store.read(caller.tenant, check)
        return await self._store.write(caller.tenant, change)

    async def get(self, tenant: str, id: str) -> ResourceType:
        """Returns the type whose name ends with this id.

        Raises:
            NotFound: If there is none.
        """
        found = await self._store.read(tenant, lambda view: view.type(spelled(id)))
        if found is None:
            raise not_found(f"resourceTypes/{id}")
        return found

    async def update(
        self, caller: Caller, sent: SentType, *, allow_missing: bool, once: Once | None, validate_only: bool
    ) -> ResourceType:
        """Changes a type, or registers it with ``allow_missing``; other arguments are those of :meth:`create`.

        Raises:
            SutlerError: As the contract of UpdateResourceType says.
        """
        type = spelled(sent.id)
        for _ in range(MAX_REPEATS):
            before = await self._store.read(caller.tenant, lambda view: view.type(type))
            if before is None:
                if not allow_missing:
                    raise not_found(f"resourceTypes/{sent.id}")
                check_etag(sent.etag, "", f"resourceTypes/{sent.id}")
                authorize(caller.principal, CREATE, [f"resourceTypes/{sent.id}"])
                try:
                    return await self.create(caller, sent, once=once, validate_only=validate_only)
                except AlreadyExists:
                    continue
            wanted = self._changed(caller, before, sent)
            checked = await self._compatibility.check(caller.tenant, before, wanted)
            if validate_only:
                return wanted
            change = Change(before, wanted, checked)
            stored = await self._store.write(caller.tenant, partial(self._compatibility.store, change, once))
            if stored is not None:
                return stored
        raise Conflict(f"resourceTypes/{sent.id} keeps changing; try again", resource=f"resourceTypes/{sent.id}")

    async def delete(
        self, caller: Caller, id: str, *, etag: str, allow_missing: bool, once: Once | None, validate_only: bool
    ) -> None:
        """Deletes a type that has neither resources nor child types; other arguments are those of :meth:`create`.

        Raises:
            SutlerError: As the contract of DeleteResourceType says.
        """
        type = spelled(id)

        def check(view: View) -> ResourceType | None:
            found = view.type(type)
            if found is None:
                if allow_missing:
                    return None
                raise not_found(f"resourceTypes/{id}")
            check_etag(etag, found.etag, found.name)
            _check_own(found)
            user = next((r.name for r in view.of_type(found.type, "", 0, 1)), None) or view.child_type(found.type)
            if user is not None:
                raise FailedPrecondition(
                    f"{found.name} is in use by {user}; delete all resources of the type and all its child types first",
                    reason="IN_USE",
                    metadata={"user": user},
                    resource=found.name,
                )
            return found

        def change(unit: Unit) -> None:
            found = check(unit)
            if found is not None:
                unit.remove_type(found)
            unit.remember(once, None)

        if validate_only:
            await self._store.read(caller.tenant, check)
        else:
            await self._store.write(caller.tenant, change)

    def _new(self, caller: Caller, sent: SentType) -> ResourceType:
        type = type_from_id(sent.id)
        if key(type.partition("/")[0]) == key(BUILT_IN):
            raise _built_in(
                type, f"{type} is in the namespace of the types that come with the service; choose another one"
            )
        check_parent_named(type, sent.parent)
        wanted = self._described(type, sent.onto(None))
        self._check(caller, type, wanted, new=True)
        return replace(
            wanted,
            tenant=caller.tenant,
            type=wanted.type or type,
            uid=new_id(),
            creator=caller.actor,
            updater=caller.actor,
            principal=caller.encoded,
            revision=1,
        )

    def _changed(self, caller: Caller, before: ResourceType, sent: SentType) -> ResourceType:
        check_etag(sent.etag, before.etag, before.name)
        _check_own(before)
        wanted = self._described(before.type, sent.onto(before))
        self._check(caller, before.type, wanted, new=False)
        return replace(
            wanted,
            tenant=before.tenant,
            type=before.type,
            uid=before.uid,
            creator=before.creator,
            create_time=before.create_time,
            updater=caller.actor,
            principal=caller.encoded,
            revision=before.revision + 1,
            digest=b"",
        )

    def _described(self, type: str, wanted: ResourceType) -> ResourceType:
        return described(type, wanted, self._book.describe(wanted.made_by))

    def _check(self, caller: Caller, type: str, wanted: ResourceType, *, new: bool) -> None:
        """Checks a type by itself, and its handler."""
        if check_registrable(type, wanted, new=new):
            self._box.check()
        handler = wanted.made_by
        self._book.check(handler)
        if not handler.records:
            for permission in (*HANDLER_PERMISSIONS, *((ACTION_PERMISSION,) if wanted.actions else ())):
                authorize(caller.principal, permission, None)


def _check_parent(view: View, wanted: ResourceType) -> None:
    above = parent_type(wanted.type)
    if above and view.type(above) is None:
        raise unknown_type(above)


def _check_own(type: ResourceType) -> None:
    if type.builtin:
        raise _built_in(
            type.type,
            f"{type.type} comes with the service and can be neither changed nor deleted; "
            "register a type in a namespace of your own",
        )


def _built_in(type: str, why: str) -> FailedPrecondition:
    return FailedPrecondition(why, reason="TYPE_BUILT_IN", metadata={"type": type})


def _taken(type: ResourceType) -> AlreadyExists:
    return AlreadyExists(f"{type.name} exists already; change it with UpdateResourceType", resource=type.name)
