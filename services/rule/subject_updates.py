"""Changes subjects on behalf of callers, and tells of what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sutler.errors import FailedPrecondition, Invalid, NotFound
from sutler.expressions import EvaluationFailed, Expression, ExpressionInvalid
from sutler.idempotency import Once

from services.rule.backlog import Backlog
from services.rule.events import Cause
from services.rule.faults import Fault, at, refuse
from services.rule.outcomes import Aftermath, Claim
from services.rule.publishing import Follower
from services.rule.steps import Change
from services.rule.subjects import Subject, Write
from services.rule.values import MAX_EXTRA_BYTES, plain, size
from services.rule.variables import WRITES


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
    """

    tenant: str
    id: str
    cause: Cause
    merge: Merge
    writes: tuple[Write, ...]
    evaluate: Callable[[Write, Any, Subject], Any]
    etag: str = ""
    expected_revision: int | None = None
    allow_missing: bool = False
    muted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


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


def compile_writes(writes: Sequence[Write]) -> Callable[[Write, Any, Subject], Any]:
    """Compiles the expressions of writes, and returns what evaluates them.

    Raises:
        Invalid: If one does not compile (EXPRESSION_INVALID).
    """
    compiled: dict[str, Expression] = {}
    faults: list[Fault] = []
    for index, write in enumerate(writes):
        if write.kind == "expression" and write.value not in compiled:
            try:
                compiled[write.value] = WRITES.compile(write.value)
            except ExpressionInvalid as error:
                where = f"writes[{index}].expression"
                description = f"is not a valid CEL expression: {error}"
                faults.append(Fault(where, description, "EXPRESSION_INVALID", at(error.position)))
    refuse(faults, "")

    def evaluate(write: Write, old: Any, subject: Subject) -> Any:
        try:
            return plain(compiled[write.value].evaluate(WRITES.bind({"old": old, "subject": subject.facts()})))
        except EvaluationFailed as error:
            raise FailedPrecondition(
                f"the expression for property {write.property} failed: {error}",
                reason="EXPRESSION_FAILED",
                metadata={"field": write.property, "cause": str(error)},
                resource=subject.name,
            ) from error

    return evaluate


def check_extra(extra: Mapping[str, Any]) -> None:
    """Checks the size of the context beside the data of an event.

    Raises:
        Invalid: If it is larger than 64 KiB (TOO_LARGE).
    """
    if extra and size(extra) > MAX_EXTRA_BYTES:
        raise Invalid(
            f"extra has at most {MAX_EXTRA_BYTES} bytes",
            reason="TOO_LARGE",
            metadata={"field": "extra", "limit_bytes": str(MAX_EXTRA_BYTES)},
        )
