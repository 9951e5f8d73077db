"""Finds the rules that an event may fire, in a time that does not grow with the number of other rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.rule.patterns import SUBJECT_SEPARATOR, TYPE_SEPARATOR, PatternMap


@dataclass(frozen=True, slots=True)
class Entry:
    """What matching needs to know of a rule.

    Attributes:
        uid: Tells the rule from all others.
        rule: Its name.
        revision: The number of its active revision.
        priority: Those with a higher one begin first.
        on: Patterns over the event type.
        subject: A pattern over the event's subject; empty for any, or none.
    """

    uid: str
    rule: str
    revision: int
    priority: int
    on: tuple[str, ...]
    subject: str = ""


class _Bucket:
    """The rules under one type pattern."""

    def __init__(self) -> None:
        self.any: dict[str, Entry] = {}
        self.by_subject: PatternMap[dict[str, Entry]] = PatternMap(SUBJECT_SEPARATOR, dict)
        self.size = 0

    def add(self, entry: Entry) -> None:
        """Adds a rule."""
        (self.by_subject.slot(entry.subject) if entry.subject else self.any)[entry.uid] = entry
        self.size += 1

    def remove(self, entry: Entry) -> None:
        """Removes a rule."""
        entries = self.by_subject.slot(entry.subject) if entry.subject else self.any
        del entries[entry.uid]
        if entry.subject and not entries:
            self.by_subject.discard(entry.subject)
        self.size -= 1


class RuleIndex:
    """The rules of one tenant that events may fire."""

    def __init__(self) -> None:
        self._types: PatternMap[_Bucket] = PatternMap(TYPE_SEPARATOR, _Bucket)
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Adds a rule, in place of an earlier revision of it."""
        self.remove(entry.uid)
        self._entries[entry.uid] = entry
        for pattern in dict.fromkeys(entry.on):
            self._types.slot(pattern).add(entry)

    def remove(self, uid: str) -> None:
        """Removes a rule; nothing happens if it is not there."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        for pattern in dict.fromkeys(entry.on):
            bucket = self._types.slot(pattern)
            bucket.remove(entry)
            if not bucket.size:
                self._types.discard(pattern)

    def match(self, type_: str, subject: str) -> Sequence[Entry]:
        """Returns the rules that an event fires if their conditions hold, those with a higher priority first."""
        found: dict[str, Entry] = {}
        for _, bucket in self._types.find(type_):
            found.update(bucket.any)
            if subject:
                for _, entries in bucket.by_subject.find(subject):
                    found.update(entries)
        return sorted(found.values(), key=lambda entry: (-entry.priority, entry.rule))
