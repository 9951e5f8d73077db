"""What a verification found, and how far it is; a document that survives a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any

MAX_PROBLEMS = 1000
"""So many problems are told; all are counted."""


class ProblemKind(IntEnum):
    """What is wrong, by the contract's numbers."""

    METADATA_UNREADABLE = 1
    BLOB_MISSING = 2
    SIZE_MISMATCH = 3
    CHECKSUM_MISMATCH = 4
    SIGNATURE_INVALID = 5
    BLOB_ORPHANED = 6
    TOTALS_WRONG = 8


class Outcome(IntEnum):
    """What was done, by the contract's numbers."""

    REPORTED = 1
    REPAIRED = 2
    REMOVED = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a cache.

    Attributes:
        kind: What is wrong.
        outcome: What was done.
        key: The key of the entry, if one is concerned.
        sha256: The blob, if one is concerned.
        detail: More about it, for people.
        put_time: When the entry was put that was seen; 0 if that could not be read.
        locator: Where an orphaned blob is.
    """

    kind: ProblemKind
    outcome: Outcome = Outcome.REPORTED
    key: str = ""
    sha256: str = ""
    detail: str = ""
    put_time: float = 0.0
    locator: str = ""

    def mended(self) -> Problem:
        """Returns the problem as it is when it was mended."""
        repaired = self.kind is ProblemKind.TOTALS_WRONG
        return replace(self, outcome=Outcome.REPAIRED if repaired else Outcome.REMOVED)


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification did.

    Attributes:
        entries: How many entries were checked.
        blobs: How many blobs were checked.
        read_bytes: How many bytes were read.
        found: How many problems there were.
        repaired: How many of them were repaired.
        removed: How many of them were removed.
        problems: The first 1000 of them.
    """

    entries: int = 0
    blobs: int = 0
    read_bytes: int = 0
    found: int = 0
    repaired: int = 0
    removed: int = 0
    problems: tuple[Problem, ...] = ()

    def told(self, problems: Sequence[Problem]) -> Report:
        """Returns the report with more problems."""
        return replace(
            self,
            found=self.found + len(problems),
            repaired=self.repaired + sum(each.outcome is Outcome.REPAIRED for each in problems),
            removed=self.removed + sum(each.outcome is Outcome.REMOVED for each in problems),
            problems=(self.problems + tuple(problems))[:MAX_PROBLEMS],
        )


class Stage(StrEnum):
    """What a verification looks at, in this order."""

    ENTRIES = "entries"
    TOTALS = "totals"
    ORPHANS = "orphans"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Run:
    """How far a verification is.

    Attributes:
        uid: The cache, so that a later one of the same name is not taken for it.
        repair: Whether problems are mended.
        metadata_only: Whether no value is read.
        stage: What it looks at.
        after: The key of the last entry that was checked.
        pending: Problems that are about to be mended. They are noted before, so that a crash in the middle neither
            forgets one nor counts it twice.
        report: What it did so far.
    """

    uid: str
    repair: bool
    metadata_only: bool
    stage: Stage = Stage.ENTRIES
    after: str = ""
    pending: tuple[Problem, ...] = ()
    report: Report = Report()

    def found(self, problems: Sequence[Problem], **changes: Any) -> Run:
        """Returns the run after a step that found problems: they are pending if they are to be mended."""
        if self.repair:
            return replace(self, pending=tuple(problems), **changes)
        return replace(self, **changes).settled(problems)

    def settled(self, problems: Sequence[Problem]) -> Run:
        """Returns the run when these problems are dealt with."""
        return replace(self, pending=(), report=self.report.told(problems))


def to_document(run: Run) -> dict[str, Any]:
    """Returns a run as JSON knows it."""
    return asdict(run)


def from_document(document: Mapping[str, Any]) -> Run:
    """Returns the run in a document."""
    report = document["report"]
    return Run(
        **{
            **document,
            "stage": Stage(document["stage"]),
            "pending": _problems(document["pending"]),
            "report": Report(**{**report, "problems": _problems(report["problems"])}),
        }
    )


def _problems(documents: Sequence[Mapping[str, Any]]) -> tuple[Problem, ...]:
    return tuple(
        Problem(**{**each, "kind": ProblemKind(each["kind"]), "outcome": Outcome(each["outcome"])})
        for each in documents
    )
