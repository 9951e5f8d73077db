"""What a handler knows of its event, and what it may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sutler.client.rules.facts import Read
from sutler.client.rules.subjects import UNREAD, Subject, Write
from sutler.errors import FailedPrecondition
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_struct, from_value, put_duration, put_struct, to_value


class Permanent(Exception):
    """Says that trying again is of no use: the execution becomes a dead letter at once."""


class Context:
    """One event at one handler. What is written and emitted is kept, and committed together when the handler returns.

    Args:
        task: The task.
        read: Reads a subject.
        write: Commits a change of a subject in the course of the task.

    Attributes:
        task: The task, as the contract has it.
        data: What the template of the rule's action gave.
        event: The event, as the contract has it.
        payload: The event's data as plain Python; bytes if they are binary.
        extra: The event's extra context.
    """

    def __init__(self, task: pb.Task, read: Read, write: Write) -> None:
        self.task = task
        self.data: Any = from_value(task.data)
        self.event = task.event_snapshot
        binary = self.event.WhichOneof("content") == "binary_data"
        self.payload: Any = self.event.binary_data if binary else from_value(self.event.data)
        self.extra = from_struct(self.event.extra)
        self._read = read
        self._write = write
        self._subjects: dict[str, Subject] = {}
        self._events: list[pb.EventDraft] = []
        self._metadata: dict[str, Any] = {}
        self._ended = False

    @property
    def event_type(self) -> str:
        """The event's type."""
        return self.event.type

    @property
    def handler(self) -> str:
        """The name of the handler."""
        return self.task.handler

    @property
    def attempt(self) -> int:
        """Which attempt this is, 1 at first."""
        return self.task.attempt

    @property
    def idempotency_key(self) -> str:
        """A UUID that is the same in all attempts: for calls to other systems."""
        return self.task.idempotency_key

    @property
    def subject(self) -> Subject:
        """The event's subject, as it was when the task was pulled.

        Raises:
            FailedPrecondition: If the event has none (SUBJECT_MISSING).
        """
        if not self.task.subject:
            raise FailedPrecondition(
                f"{self.task.event} has no subject; name one with ctx.subject_of",
                reason="SUBJECT_MISSING",
                metadata={"event": self.task.event},
            )
        return self.subject_of(self.task.subject.removeprefix("subjects/"))

    def subject_of(self, id: str) -> Subject:
        """Returns a subject, always the same for one id; it is read when it is first asked for something."""
        if id not in self._subjects:
            known: pb.Subject | object | None = UNREAD
            if f"subjects/{id}" == self.task.subject:
                known = self.task.subject_snapshot if self.task.HasField("subject_snapshot") else None
            self._subjects[id] = Subject(id, self._read, self._write, known, self._must_run)
        return self._subjects[id]

    @property
    def property_name(self) -> str | None:
        """The property that has changed, of an event that tells of one."""
        found = self._payload("property")
        return found if isinstance(found, str) else None

    @property
    def old_value(self) -> Any:
        """The value that it had."""
        return self._payload("old_value")

    @property
    def new_value(self) -> Any:
        """The value that it has."""
        return self._payload("new_value")

    def get_metadata(self, key: str, default: Any = None) -> Any:
        """Returns what a middleware, or the handler, has noted during this run."""
        return self._metadata.get(key, default)

    def set_metadata(self, key: str, value: Any) -> None:
        """Notes something for the others of this run; it is not stored."""
        self._metadata[key] = value

    async def emit(
        self, event_type: str, payload: Any = None, subject: str | None = None, *, delay: float = 0.0, **extra: Any
    ) -> None:
        """Emits an event when the handler returns; as part of the same cascade.

        Args:
            event_type: Its type.
            payload: Its data: what JSON knows, or bytes.
            subject: The id of its subject; that of the event which is handled if None, none if empty.
            delay: Seconds that its handlers wait.
            **extra: Context beside the data.

        Raises:
            TypeError: If JSON does not know the data.
            FailedPrecondition: If the handler has returned.
        """
        self._must_run()
        draft = pb.EventDraft(type=event_type)
        if isinstance(payload, bytes):
            draft.binary_data = payload
        elif payload is not None:
            draft.data.CopyFrom(to_value(payload))
        if subject is not None:
            draft.subject = subject
        if delay:
            put_duration(draft.delay, delay)
        put_struct(draft.extra, extra)
        self._events.append(draft)

    def end(self) -> None:
        """Takes no more: what comes after the handler has returned would be committed by nobody."""
        self._ended = True

    def updates(self) -> list[pb.SubjectUpdate]:
        """Returns what is to be committed in subjects."""
        return [subject.pending for subject in self._subjects.values() if subject.changed]

    def events(self) -> list[pb.EventDraft]:
        """Returns what is to be emitted."""
        return list(self._events)

    def savepoint(self) -> Callable[[], None]:
        """Returns what takes back all that is written and emitted from now on, and not committed by then."""
        known = {id: subject.savepoint() for id, subject in self._subjects.items()}
        count = len(self._events)

        def roll_back() -> None:
            del self._events[count:]
            for id in list(self._subjects):
                if id in known:
                    known[id]()
                else:
                    del self._subjects[id]

        return roll_back

    def _must_run(self) -> None:
        if self._ended:
            raise FailedPrecondition(
                f"handler {self.handler} has returned; what it starts has to end before",
                metadata={"task": self.task.name},
            )

    def _payload(self, key: str) -> Any:
        return self.payload.get(key) if isinstance(self.payload, dict) else None
