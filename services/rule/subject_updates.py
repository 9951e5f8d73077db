"""Changes subjects on behalf of callers, and tells of what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sutler.errors import NotFound
from sutler.idempotency import Once

from services.rule.backlog import Backlog
from services.rule.events import Cause
from services.rule.outcomes import Aftermath, Claim
from services.rule.publishing import Follower
from services.rule.steps import Change
from services.rule.subjects import Evaluate, Subject
from services.rule.tasks import Holding
from services.rule.writes import Write
from services.rule.writing import check_extra


@dataclass(frozen=True, slots=True)
class Facts:
    """What a subject shall be before the writes are made.

    Attributes:
        properties: Its properties.
        ext_properties: Its ext properties.
        ttl: Seconds that it lives after its last write; None for ever.
    """

    properties: Mapping[str, Any]
    ext_properties: Mapping[str, Any]
    ttl: float | None


Merge = Callable[[Subject], Facts]
"""Gives what an update makes of a subject; called within the change, so it sees the subject as it is then."""


@dataclass(frozen=True, slots=True)
class Updating:
    """One update of a subject.

    Attributes:
        tenant: Whose it is.
        id: The id of the subject.
        cause: Where its events come from.
        merge: Gives the facts before the writes.
        writes: The writes, in order.
        evaluate: Gives the values of their expressions.
        etag: Changes only if this is still the current one; any if empty.
        expected_revision: Changes only if this is the revision; any if None.
        allow_missing: Creates it if there is none.
        muted: Emits no events.
        extra: Context for the rules.
        task: The task in whose course it is; None if there is none.
    """

    tenant: str
    id: str
    cause: Cause
    merge: Merge
    writes: tuple[Write, ...]
    evaluate: Evaluate
    etag: str = ""
    expected_revision: int | None = None
    allow_missing: bool = False
    muted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    task: Holding | None = None


@dataclass(frozen=True, slots=True)
class Deleting:
    """One deletion of a subject. The attributes are those of :class:`Updating`."""

    tenant: str
    id: str
    cause: Cause
    etag: str = ""
    muted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Updated:
    """A subject after an update.

    Attributes:
        subject: As it is.
        changes: What changed.
    """

    subject: Subject
    changes: tuple[Change, ...]


class SubjectStore(Protocol):
    """Where subjects are stored."""

    async def get(self, tenant: str, id_: str) -> Subject:
        """Returns a subject. Raises NotFound."""
        ...

    async def preview(self, updating: Updating) -> Updated:
        """Returns what an update would give. Raises as :meth:`update`."""
        ...

    async def update(self, updating: Updating, claim: Claim, once: Once | None) -> tuple[Updated, Aftermath]:
        """Updates a subject and accepts the events that tell of it.

        Raises:
            NotFound: If there is none, unless ``allow_missing``.
            Conflict: If the etag or the revision is another one.
            SutlerError: What :func:`services.rule.subjects.apply` raises.
        """
        ...

    async def delete(self, deleting: Deleting, claim: Claim, once: Once | None) -> Aftermath:
        """Deletes a subject and accepts the event that tells of it. Raises NotFound, and Conflict."""
        ...

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a subject that does not exist."""
        ...


class Subjects:
    """Changes subjects.

    Args:
        store: Where they are stored.
        follower: Begins what follows.
        backlog: Refuses changes when too much waits.
    """

    def __init__(self, store: SubjectStore, follower: Follower, backlog: Backlog) -> None:
        self._store = store
        self._follower = follower
        self._backlog = backlog

    async def update(self, updating: Updating, once: Once | None, *, dry: bool) -> Updated:
        """Changes a subject; with ``dry`` only tells what would change.

        Raises:
            Exhausted: If too much waits already.
            SutlerError: As :meth:`SubjectStore.update`.
        """
        check_extra(updating.extra)
        if dry:
            return await self._store.preview(updating)
        self._backlog.check()
        updated, aftermath = await self._store.update(updating, self._claim(), once)
        self._follow(aftermath)
        return updated

    async def delete(self, deleting: Deleting, once: Once | None, *, allow_missing: bool, dry: bool) -> None:
        """Deletes a subject.

        Raises:
            NotFound: If there is none, unless ``allow_missing``.
            Conflict: If the etag is another one.
        """
        check_extra(deleting.extra)
        try:
            if dry:
                await self._store.get(deleting.tenant, deleting.id)
                return
            self._backlog.check()
            self._follow(await self._store.delete(deleting, self._claim(), once))
        except NotFound:
            if not allow_missing:
                raise
            if not dry:
                await self._store.deleted_already(once)

    def _claim(self) -> Claim:
        return Claim(self._follower.holder, self._follower.room)

    def _follow(self, aftermath: Aftermath) -> None:
        self._follower.follow(aftermath)
        self._backlog.add(aftermath.begun)
