"""Subjects as handlers see them: reads never write, and writes wait until they are committed together."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from sutler.client.rules.facts import Facts, Read
from sutler.errors import invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import put_duration, put_struct, to_value

T = TypeVar("T")

Write = Callable[[pb.SubjectUpdate], Awaitable[pb.Subject]]
"""Commits a change and gives the subject as it is then."""

UNREAD = object()
"""Stands for a subject that nobody has read yet."""


class Subject(Facts):
    """Facts about a thing. What is set here is seen here at once, and elsewhere when it is committed.

    Args:
        id: The subject of events.
        read: Reads it.
        write: Commits changes.
        known: What is known of it: None if there is none, :data:`UNREAD` if nothing is.
        check: Called before each change; raises if none may be made any more.

    Attributes:
        id: The subject of events.
    """

    def __init__(
        self,
        id: str,
        read: Read,
        write: Write,
        known: pb.Subject | object | None = UNREAD,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(f"subjects/{id}", read)
        self.id = id
        self._write = write
        self._check = check
        self._commits = 0
        self._pending = pb.SubjectUpdate(subject=self.name)
        if known is not UNREAD:
            self.learn(known if isinstance(known, pb.Subject) else None)

    @property
    def pending(self) -> pb.SubjectUpdate:
        """What is not committed yet."""
        return self._pending

    @property
    def changed(self) -> bool:
        """Whether something is not committed yet."""
        return bool(self._pending.writes or self._pending.deleted or self._pending.HasField("ttl"))

    async def set(
        self, property: str, value: Any, *, muted: bool = False, extra: Mapping[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Sets a property; if the value is another one, ``subject.property.changed`` follows.

        Args:
            property: Its name.
            value: The new value, or a function that gives it, async or not, from the old one (None if there is none) or
                from nothing. With a function, no other write gets lost: where one has come first, the handler runs
                again.
            muted: Emits no event.
            extra: Context for the handlers of the events of all changes that are committed together.

        Returns:
            The new value and the old one.

        Raises:
            TypeError: If JSON does not know the value.
        """
        return await self._changing(lambda: self._set(property, value, muted, extra, ext=False))

    async def set_ext(self, property: str, value: Any) -> tuple[Any, Any]:
        """Sets an ext property, whose changes are no events; otherwise as :meth:`set`."""
        return await self._changing(lambda: self._set(property, value, False, None, ext=True))

    async def increment(self, property: str, by: float = 1, *, muted: bool = False) -> None:
        """Adds to a number, 0 if there is none, whatever others add at the same time."""
        await self._changing(lambda: self._increment(property, by, muted))

    async def delete(self, property: str, *, muted: bool = False) -> None:
        """Removes a property, if there is one."""
        await self._changing(lambda: self._delete(property, muted, ext=False))

    async def delete_ext(self, property: str) -> None:
        """Removes an ext property, if there is one."""
        await self._changing(lambda: self._delete(property, False, ext=True))

    async def expire(self, seconds: float) -> None:
        """Lets the subject end so long after its last write."""

        async def change() -> None:
            put_duration(self._pending.ttl, seconds)

        await self._changing(change)

    async def clear(self) -> None:
        """Deletes the subject with all that is known of it; ``subject.deleted`` tells what that was.

        It is deleted when the handler returns, and cannot be flushed earlier. What is set afterwards makes a new one.
        """

        async def change() -> None:
            pinned = self._pending.expected_revision if self._pending.HasField("expected_revision") else None
            self._pending = pb.SubjectUpdate(subject=self.name, deleted=True, expected_revision=pinned)
            self.learn(None)

        await self._changing(change)

    async def flush(self) -> None:
        """Commits what was written to this subject now, as part of the cascade; an attempt that follows sees it.

        Raises:
            Conflict: If the lease is lost (LEASE_LOST), or another write came first (REVISION_MISMATCH).
            Invalid: If the subject is to be deleted.
        """
        if not self.changed:
            return
        if self._pending.deleted:
            raise invalid("subject", f"{self.name} is deleted when the handler returns; that cannot be flushed")
        sent, self._pending = self._pending, pb.SubjectUpdate(subject=self.name)
        try:
            stored = await self._write(sent)
        except BaseException:
            sent.MergeFrom(self._pending)
            self._pending = sent
            raise
        self._commits += 1
        self.learn(stored)

    def savepoint(self) -> Callable[[], None]:
        """Returns what takes back the changes that are made from now on and not committed by then."""
        pending = pb.SubjectUpdate()
        pending.CopyFrom(self._pending)
        commits, restore = self._commits, self.kept()

        def roll_back() -> None:
            if commits == self._commits:
                self._pending = pending
                restore()
            else:
                self.forget()

        return roll_back

    def forget(self) -> None:
        """Drops what is not committed, and what is known; the next read reads anew."""
        self._pending = pb.SubjectUpdate(subject=self.name)
        self.known = False

    def learn(self, subject: pb.Subject | None) -> None:
        """Takes over what was read, and shows what is not committed on top of it."""
        super().learn(None if self._pending.deleted else subject)
        for write in self._pending.writes:
            self.apply(write)

    async def _changing(self, change: Callable[[], Awaitable[T]]) -> T:
        self._check()
        return await change()

    async def _set(
        self, property: str, value: Any, muted: bool, extra: Mapping[str, Any] | None, *, ext: bool
    ) -> tuple[Any, Any]:
        old = await (self.get_ext(property, None) if ext else self.get(property, None))
        if callable(value):
            value = await _called(value, old)
            if not self._pending.HasField("expected_revision") and not self._pending.deleted:
                self._pending.expected_revision = self.revision
        if extra:
            put_struct(self._pending.extra, extra)
        self._append(pb.PropertyWrite(property=property, ext=ext, muted=muted, value=to_value(value)))
        return value, old

    async def _increment(self, property: str, by: float, muted: bool) -> None:
        self._append(pb.PropertyWrite(property=property, muted=muted, increment=by))

    async def _delete(self, property: str, muted: bool, *, ext: bool) -> None:
        self._append(pb.PropertyWrite(property=property, ext=ext, muted=muted, deleted=True))

    def _append(self, write: pb.PropertyWrite) -> None:
        self._pending.writes.append(write)
        self.apply(write)


async def _called(function: Callable[..., Any], old: Any) -> Any:
    try:
        inspect.signature(function).bind(old)
    except TypeError:
        value = function()
    except ValueError:  # some built-in functions do not tell what they take
        value = function(old)
    else:
        value = function(old)
    return await value if inspect.isawaitable(value) else value
