"""What subjects and cascades must become, in plain Python: the model that ``test_model.py`` compares the service with.

Executions of one cascade run beside each other. So that their order does not matter, each rule writes a property of its
own, always in the same way, and an event of one level leads only to events of higher ones.
"""

from __future__ import annotations

import copy
import fnmatch
import json
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

OTHER = "other/1"
CHANGED, REMOVED, DELETED = "subject.property.changed", "subject.property.deleted", "subject.deleted"
FAILED = "error.handler_failed"
ADD = "old == null ? 1 : old + 1"
LARGE = "payload.n > 2"
MODE = "has(subject.properties.mode) && subject.properties.mode == 'on'"
CONDITIONS = ("", "", LARGE, MODE, "false")


class Refused(Exception):
    """What a call must be answered with.

    Args:
        reason: Its reason.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Act:
    """One action of a rule: ``add``, ``set`` and ``drop`` its property, ``ext`` sets the ext one, ``emit`` emits.

    Attributes:
        kind: Which of them.
        subject: The subject that is meant; that of the event if empty.
        type: What is emitted.
        number: What is set, or the number in the event; None takes that of the event.
        muted: Tells nobody of the change.
    """

    kind: str
    subject: str = ""
    type: str = ""
    number: int | None = None
    muted: bool = False


@dataclass(frozen=True)
class Reaction:
    """A rule."""

    on: str
    condition: str
    acts: tuple[Act, ...]
    enabled: bool = True


@dataclass(frozen=True)
class Write:
    """One write of a caller: ``set``, ``increment``, ``expression`` (adds one) or ``delete``."""

    property: str
    kind: str
    value: Any = None
    ext: bool = False
    muted: bool = False


@dataclass
class Subject:
    """A subject that exists, or has revision 0."""

    properties: dict[str, Any] = field(default_factory=dict)
    ext: dict[str, Any] = field(default_factory=dict)
    revision: int = 0

    def write(self, write: Write) -> list[dict[str, Any]]:
        """Makes a write and returns what changed: nothing, or one change as its event tells of it."""
        values = self.ext if write.ext else self.properties
        before = {"old_value": values[write.property]} if write.property in values else {}
        after = {} if write.kind == "delete" else {"new_value": self._value(write, before)}
        if text(list(before.values())) == text(list(after.values())):
            return []
        values.pop(write.property, None)
        if after:
            values[write.property] = after["new_value"]
        return [{"property": write.property, **before, **after}]

    @staticmethod
    def _value(write: Write, before: dict[str, Any]) -> Any:
        if write.kind == "set":
            return write.value
        old = before.get("old_value")
        if write.kind == "expression":
            if old is None:
                return 1
            return old + 1 if _number(old) else _refuse("EXPRESSION_FAILED")
        if not before:
            return write.value
        return old + write.value if _number(old) else _refuse("PROPERTY_TYPE_MISMATCH")


@dataclass(frozen=True)
class Event:
    """An event; its data without revisions, and without what a failure tells."""

    type: str
    subject: str
    data: str

    @property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.data)
        return values


@dataclass
class Happened:
    """What one call has led to: events, and executions as rule, type of the event, and state."""

    events: Counter[Event] = field(default_factory=Counter)
    executions: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass
class Model:
    """Subjects and rules of one tenant."""

    subjects: dict[str, Subject] = field(default_factory=dict)
    rules: dict[str, Reaction] = field(default_factory=dict)

    def publish(self, events: list[Event]) -> Happened:
        """Returns what events lead to, and does it."""
        return self._cascade(events)

    def update(self, id: str, writes: Iterable[Write], expected: int | None, missing: bool, muted: bool) -> Happened:
        """Makes the writes of a caller. Raises Refused."""
        stored = self.subjects.get(id)
        if expected is not None and expected != (stored.revision if stored else 0):
            raise Refused("REVISION_MISMATCH")
        if stored is None and not missing:
            raise Refused("NOT_FOUND")
        subject = copy.deepcopy(stored) or Subject()
        told, changed = [], False
        for write in writes:
            changes = subject.write(write)
            changed = changed or bool(changes)
            told += [] if write.ext or write.muted or muted else [_told(id, change) for change in changes]
        subject.revision += changed or not subject.revision
        self.subjects[id] = subject
        return self._cascade(told)

    def delete(self, id: str, missing: bool, muted: bool) -> Happened:
        """Deletes a subject. Raises Refused."""
        subject = self.subjects.pop(id, None)
        if subject is None:
            return Happened() if missing else _refuse("NOT_FOUND")
        data = {"properties": subject.properties, "ext_properties": subject.ext, "cause": "DELETED"}
        return self._cascade([] if muted else [Event(DELETED, id, text(data))])

    def _cascade(self, events: list[Event]) -> Happened:
        happened, waiting = Happened(), deque(events)
        while waiting:
            event = waiting.popleft()
            happened.events[event] += 1
            for id, reaction in self.rules.items():
                if reaction.enabled and fnmatch.fnmatchcase(event.type, reaction.on):
                    state, caused = self._execute(id, reaction, event)
                    happened.executions[id, event.type, state] += 1
                    waiting += caused
        return happened

    def _execute(self, id: str, reaction: Reaction, event: Event) -> tuple[str, list[Event]]:
        before, caused = copy.deepcopy(self.subjects), list[Event]()
        try:
            if not self._holds(reaction.condition, event):
                return "SKIPPED", []
            written = set()
            for act in reaction.acts:
                subject = act.subject or event.subject
                if act.kind == "emit":
                    number = event.values["n"] if act.number is None else act.number
                    caused.append(Event(act.type, subject, text({"n": number})))
                    continue
                changes = self._write(f"of-{id}", subject, act)
                written |= {subject} if changes else set()
                caused += [] if act.muted or act.kind == "ext" else [_told(subject, change) for change in changes]
            for subject in written:
                self.subjects[subject].revision += 1
        except (KeyError, Refused):
            self.subjects = before
            return "FAILED", [] if event.type == FAILED else [Event(FAILED, event.subject, "{}")]
        return "SUCCEEDED", caused

    def _write(self, property: str, subject: str, act: Act) -> list[dict[str, Any]]:
        if not subject:
            raise Refused("SUBJECT_MISSING")
        if subject not in self.subjects and act.kind == "drop":
            return []
        kind = {"add": "expression", "drop": "delete"}.get(act.kind, "set")
        write = Write(property, kind, act.number, ext=act.kind == "ext")
        return self.subjects.setdefault(subject, Subject()).write(write)

    def _holds(self, condition: str, event: Event) -> bool:
        if condition == LARGE:
            return bool(event.values["n"] > 2)
        if condition == MODE:
            facts = self.subjects.get(event.subject, Subject())
            return facts.properties.get("mode") == "on"
        return condition != "false"


def text(value: Any) -> str:
    """The same text for the same JSON value; true is not 1."""
    return json.dumps(value, sort_keys=True)


def _told(subject: str, change: dict[str, Any]) -> Event:
    return Event(CHANGED if "new_value" in change else REMOVED, subject, text(change))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(reason: str) -> Any:
    raise Refused(reason)
