"""Subjects: facts about the things that events are about, and how writes change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sutler.errors import Conflict, FailedPrecondition, Invalid, SutlerError, invalid
from sutler.etags import make_etag
from sutler.ids import new_id
from sutler.open_data import too_deep, too_large
from sutler.validation import MAX_OPEN_DEPTH

from services.rule.steps import Change
from services.rule.values import ABSENT, MAX_VALUE_BYTES, plain, same
from services.rule.writes import Write

MAX_PROPERTY_BYTES = 256


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject. Times are epoch seconds.

    Attributes:
        id: The last part of its name, the ``subject`` of events.
        tenant: Whose it is.
        uid: Tells it from an earlier one of the same name.
        create_time: When it was created.
        update_time: When it last changed.
        properties: Facts whose changes are events.
        ext_properties: Facts whose changes are none.
        revision: Counts the changes; 0 if it is not stored yet.
        ttl: Seconds that it lives after its last write; None for ever.
        expire_time: When it ends.
    """

    id: str
    tenant: str
    uid: str
    create_time: float
    update_time: float
    properties: Mapping[str, Any] = field(default_factory=dict)
    ext_properties: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    ttl: float | None = None
    expire_time: float | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return subject_name(self.id)

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.uid, self.revision, self.ttl)

    def facts(self) -> dict[str, Any]:
        """Returns what expressions see as ``subject``."""
        return {
            "id": self.id,
            "properties": dict(self.properties),
            "ext_properties": dict(self.ext_properties),
            "revision": self.revision,
        }


def fresh(tenant: str, id_: str, now: float) -> Subject:
    """Returns a subject that is not stored yet."""
    return Subject(id_, tenant, new_id(), now, now)


@dataclass(frozen=True, slots=True)
class Applied:
    """A change that really happened, and whether it is told."""

    change: Change
    told: bool


Evaluate = Callable[[Write, Any, Subject], Any]
"""Gives the value of a write with an expression, from the present value and the subject as it is by then.

Raises:
    FailedPrecondition: If the expression gives an error (EXPRESSION_FAILED).
"""


def subject_name(id_: str) -> str:
    """Returns the resource name of a subject."""
    return f"subjects/{id_}"


def no_subject(id_: str) -> dict[str, Any]:
    """Returns what expressions see of a subject that does not exist."""
    return {"id": id_, "properties": {}, "ext_properties": {}, "revision": 0}


def apply(subject: Subject, writes: Iterable[Write], now: float, evaluate: Evaluate) -> tuple[Subject, list[Applied]]:
    """Makes changes in order, and returns the subject as it is then, with what really changed.

    The revision counts if anything changed, and the ttl begins anew in any case.

    Raises:
        FailedPrecondition: If an increment meets no number (PROPERTY_TYPE_MISMATCH), or an expression fails.
        Invalid: If the subject would be larger than 1 MiB, or deeper than open data may be (TOO_LARGE).
    """
    applied: list[Applied] = []
    for write in writes:
        subject, change = _apply_one(subject, write, evaluate)
        if change is not None:
            applied.append(Applied(change, not (write.ext or write.muted)))
    if applied or not subject.revision:
        if too_large([subject.properties, subject.ext_properties], MAX_VALUE_BYTES):
            raise _too_large(subject, "limit_bytes", MAX_VALUE_BYTES)
        subject = replace(subject, revision=subject.revision + 1, update_time=now)
    return kept_alive(subject, now), applied


def kept_alive(subject: Subject, now: float) -> Subject:
    """Returns a subject whose ttl begins now."""
    expires = None if subject.ttl is None else now + subject.ttl
    return subject if expires == subject.expire_time else replace(subject, expire_time=expires)


def _apply_one(subject: Subject, write: Write, evaluate: Evaluate) -> tuple[Subject, Change | None]:
    values = dict(subject.ext_properties if write.ext else subject.properties)
    old = values.get(write.property, ABSENT)
    new = _new_value(subject, write, old, evaluate)
    if too_deep(new, MAX_OPEN_DEPTH - 1):
        raise _too_large(subject, "limit_levels", MAX_OPEN_DEPTH)
    if (old is ABSENT and new is ABSENT) or (old is not ABSENT and new is not ABSENT and same(old, new)):
        return subject, None
    if new is ABSENT:
        del values[write.property]
    else:
        values[write.property] = new
    changed = replace(subject, ext_properties=values) if write.ext else replace(subject, properties=values)
    return changed, Change(
        subject.id,
        write.property,
        write.ext,
        None if old is ABSENT else old,
        old is not ABSENT,
        None if new is ABSENT else new,
        new is not ABSENT,
    )


def _new_value(subject: Subject, write: Write, old: Any, evaluate: Evaluate) -> Any:
    if write.kind == "delete":
        return ABSENT
    if write.kind == "set":
        return write.value
    if write.kind == "increment":
        return _sum(subject, write, 0 if old is ABSENT else old)
    return plain(evaluate(write, None if old is ABSENT else old, subject))


def _sum(subject: Subject, write: Write, old: Any) -> Any:
    if isinstance(old, bool) or not isinstance(old, int | float):
        kind = "null" if old is None else type(old).__name__
        raise FailedPrecondition(
            f"property {write.property} of {subject.name} is a {kind}, so nothing can be added to it; set it first",
            reason="PROPERTY_TYPE_MISMATCH",
            metadata={"property": write.property, "type": kind},
            resource=subject.name,
        )
    return plain(old + write.value)


def _too_large(subject: Subject, which: str, limit: int) -> Invalid:
    return Invalid(
        f"the properties of {subject.name} would exceed their {which} of {limit}",
        reason="TOO_LARGE",
        metadata={which: str(limit)},
        resource=subject.name,
    )


def check_revision(expected: int | None, subject: Subject | None, id_: str) -> None:
    """Checks the revision that a caller expects; 0 stands for no subject, None for any.

    Raises:
        Conflict: If it is another one (REVISION_MISMATCH).
    """
    current = subject.revision if subject else 0
    if expected is not None and expected != current:
        raise Conflict(
            f"{subject_name(id_)} has revision {current}, not {expected}; read it again and repeat the change",
            reason="REVISION_MISMATCH",
            metadata={"expected": str(expected), "current": str(current)},
            resource=subject_name(id_),
        )


def merge_writes(subject: Subject, properties: Mapping[str, Any], ext: Mapping[str, Any]) -> list[Write]:
    """Returns the writes that make the facts of a subject what they shall be."""
    writes: list[Write] = []
    for is_ext, old, new in ((False, subject.properties, properties), (True, subject.ext_properties, ext)):
        writes += [Write(key, "delete", ext=is_ext) for key in old if key not in new]
        writes += [Write(key, "set", value, ext=is_ext) for key, value in new.items()]
    return writes


def check_properties(values: Mapping[str, Any], field_: str) -> None:
    """Checks the names of properties: 1 to 256 bytes without control characters.

    Raises:
        Invalid: If one breaks the rule.
    """
    for key in values:
        if not 0 < len(key.encode()) <= MAX_PROPERTY_BYTES or any(c < " " or c == "\x7f" for c in key):
            raise invalid(f"{field_}[{key[:MAX_PROPERTY_BYTES]!r}]", "has 1 to 256 bytes without control characters")


def missing_subject(action: str, event: str) -> SutlerError:
    """Returns the error for an action that means the event's subject where the event has none."""
    return FailedPrecondition(
        f"action {action} means the subject of {event}, which has none; name a subject in the action",
        reason="SUBJECT_MISSING",
        metadata={"action": action, "event": event},
    )
