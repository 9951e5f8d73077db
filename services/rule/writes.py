"""What is written into subjects: single writes, and all that a worker makes of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.rule.definitions import EmitEvent


@dataclass(frozen=True, slots=True)
class Write:
    """One change to make.

    Attributes:
        property: The property.
        kind: What to do with it.
        value: The value to set, the number to add, or the expression.
        ext: Means the ext property of that name.
        muted: Emits no event.
    """

    property: str
    kind: Literal["set", "expression", "increment", "delete"]
    value: Any = None
    ext: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class SubjectUpdate:
    """What a worker changes in one subject.

    Attributes:
        subject: The id of the subject.
        deleted: Deletes it before the writes are made.
        writes: The writes, in order.
        muted: Emits no events.
        extra: Context for the rules.
        expected_revision: Changes only if this is the revision; any if None.
        ttl: Seconds that it lives after its last write; unchanged if None.
    """

    subject: str
    deleted: bool = False
    writes: tuple[Write, ...] = ()
    muted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    expected_revision: int | None = None
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What a worker makes of a task, to be committed with the execution.

    Attributes:
        updates: Changes of subjects, in order.
        events: Events to emit afterwards, in order.
    """

    updates: tuple[SubjectUpdate, ...] = ()
    events: tuple[EmitEvent, ...] = ()
