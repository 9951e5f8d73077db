"""What watches tell: the flow of events, and changes of subjects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from services.rule.events import Event
from services.rule.executions import Execution
from services.rule.steps import Change
from services.rule.subjects import Subject


class EventKind(IntEnum):
    """What happened to an event, by the numbers of the contract."""

    ACCEPTED = 1
    EXECUTION = 2
    ENDED = 3
    CASCADE_ENDED = 4


@dataclass(frozen=True, slots=True)
class EventChange:
    """One change in the flow of events.

    Attributes:
        kind: What happened.
        time: When, epoch seconds.
        event: The event.
        execution: The execution that it is about, if it is about one.
    """

    kind: EventKind
    time: float
    event: Event
    execution: Execution | None = None


def told_of(kind: EventKind, event: Event, *, at_once: bool) -> list[EventChange]:
    """Returns what is told of an event, apart from its executions.

    Args:
        kind: What happened.
        event: The event.
        at_once: Whether it ended when it was accepted, because no rule matched; then its end is told along with that.
    """
    if kind is EventKind.ENDED:
        return [] if event.end_time is None else [EventChange(kind, event.end_time, event)]
    if kind is EventKind.CASCADE_ENDED:
        return [] if event.cascade_end_time is None else [EventChange(kind, event.cascade_end_time, event)]
    told = [EventChange(kind, event.create_time, event)]
    if at_once:
        told += told_of(EventKind.ENDED, event, at_once=False)
        if not event.cause.depth:
            told += told_of(EventKind.CASCADE_ENDED, event, at_once=False)
    return told


class SubjectKind(IntEnum):
    """What happened to a subject, by the numbers of the contract."""

    CREATED = 1
    UPDATED = 2
    DELETED = 3
    EXPIRED = 4

    @property
    def gone(self) -> bool:
        """Whether the subject is no more."""
        return self in (SubjectKind.DELETED, SubjectKind.EXPIRED)


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """One change of a subject.

    Attributes:
        kind: What happened.
        time: When, epoch seconds.
        before: The subject before it; None if there was none.
        subject: The subject after it; as it was last if it is gone.
        changes: What changed, with UPDATED.
        principal: Whose will it was; empty if time passed.
        execution: The name of the execution that did it, if one did.
    """

    kind: SubjectKind
    time: float
    before: Subject | None
    subject: Subject
    changes: tuple[Change, ...] = ()
    principal: str = ""
    execution: str = ""


def undone(subject: Subject, changes: tuple[Change, ...]) -> Subject:
    """Returns the properties that a subject had before some changes were made to it, in their order."""
    facts = {False: dict(subject.properties), True: dict(subject.ext_properties)}
    for change in reversed(changes):
        if change.has_old:
            facts[change.ext][change.property] = change.old
        else:
            facts[change.ext].pop(change.property, None)
    return replace(subject, properties=facts[False], ext_properties=facts[True])


def facts_of(subject: Subject) -> Mapping[str, Any]:
    """Returns a subject with the field names of the contract, for filters."""
    return {
        "name": subject.name,
        "uid": subject.uid,
        "create_time": subject.create_time,
        "update_time": subject.update_time,
        "revision": subject.revision,
        "properties": subject.properties,
        "ext_properties": subject.ext_properties,
        "ttl": subject.ttl,
        "expire_time": subject.expire_time,
    }
