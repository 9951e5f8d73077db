"""Makes what an execution writes and emits: subjects and events, in the order of its actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sutler.ids import derive, new_id

from services.rule.definitions import DeleteProperty, EmitEvent, SetProperty
from services.rule.emissions import make_content
from services.rule.events import Content, Event, event_name
from services.rule.executions import Execution
from services.rule.steps import MAX_CHANGE_BYTES, Change, Step, StepState
from services.rule.subjects import Evaluate, Subject, apply, check_revision, fresh, kept_alive
from services.rule.tellings import inherited, of_change, of_deletion
from services.rule.values import ABSENT, clipped
from services.rule.watching import SubjectKind
from services.rule.writes import SubjectUpdate, TaskOutcome, Write
from services.rule.writing import compile_writes

MAX_SHOWN = 1000
"""How many changes executions show of one action."""

Load = Callable[[str], tuple[Subject | None, Subject | None]]
"""Gives a subject as it is stored, and one of its name whose ttl has passed and which is still stored."""


class Effects:
    """What one execution writes and emits.

    Args:
        execution: The execution.
        event: The event that it handles.
        evaluate: Gives the values of expressions.
        load: Gives the subjects.
        now: Epoch seconds.

    Attributes:
        contents: The events, in order.
        gone: The subjects that are deleted, as they are stored, each with why; before others of their names are stored.
    """

    def __init__(self, execution: Execution, event: Event, evaluate: Evaluate | None, load: Load, now: float) -> None:
        self.contents: list[Content] = []
        self.gone: list[tuple[Subject, SubjectKind]] = []
        self._execution = execution
        self._event = event
        self._evaluate = evaluate
        self._load = load
        self._time = now
        self._stored: dict[str, Subject] = {}
        self._now: dict[str, Subject] = {}
        self._changes: dict[str, list[Change]] = {}

    @property
    def subjects(self) -> Sequence[Subject]:
        """The subjects that exist by now, of those that were written."""
        return [subject for subject in self._now.values() if subject.revision]

    @property
    def written(self) -> Sequence[tuple[Subject | None, Subject, Sequence[Change]]]:
        """Those subjects, each as it is stored, as it is now, and what changed."""
        stored = {id_: subject if subject.revision else None for id_, subject in self._stored.items()}
        return [(stored[one.id], one, self._changes.get(one.id, ())) for one in self.subjects]

    def make(self, step: Step) -> Step:
        """Makes what one step says, and returns the step as it is shown from now on.

        Raises:
            FailedPrecondition: If an expression fails, or an increment meets no number.
            Invalid: If a subject or an event would be too large.
            Conflict: If a subject has not the revision that a worker expects (REVISION_MISMATCH).
        """
        if step.state is not StepState.SUCCEEDED:
            return step
        if step.outcome is not None:
            changes, events = self._finish_task(step, step.outcome)
            return replace(step, deed=None, outcome=None, changes=changes, events=events)
        if step.deed is None:
            return step
        if isinstance(step.deed, EmitEvent):
            return replace(step, deed=None, events=(self._emit(self._content(step.deed, step.id)),))
        if isinstance(step.deed, SetProperty | DeleteProperty):
            return replace(step, deed=None, changes=self._write(step, step.deed))
        return replace(step, deed=None)

    def _emit(self, content: Content) -> str:
        self.contents.append(content)
        return event_name(self._execution.tenant, content.source, content.id)

    def _content(self, deed: EmitEvent, step: str) -> Content:
        return make_content(deed, self._execution, step, self._event, self._time)

    def _finish_task(self, step: Step, outcome: TaskOutcome) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """Makes what a worker says, and returns as much of it as executions show."""
        changes = [change for update in outcome.updates for change in self._update(update)]
        contents = [self._content(deed, f"{step.id}/{i}") for i, deed in enumerate(outcome.events)]
        return tuple(changes[:MAX_SHOWN]), tuple([self._emit(content) for content in contents])

    def _update(self, update: SubjectUpdate) -> list[Change]:
        id_ = update.subject
        subject = self._subject(id_)
        check_revision(update.expected_revision, self._stored[id_] if self._stored[id_].revision else None, id_)
        if update.deleted and subject.revision:
            subject = self._delete(subject, update)
        if not subject.revision and all(write.kind == "delete" for write in update.writes) and update.ttl is None:
            return []
        if update.ttl is not None and update.ttl != subject.ttl:
            changed = replace(subject, ttl=update.ttl, update_time=self._time)
            self._now[id_] = kept_alive(replace(changed, revision=self._stored[id_].revision + 1), self._time)
        writes = [replace(write, muted=write.muted or update.muted) for write in update.writes]
        return self._apply(id_, writes, compile_writes(writes), update.extra)

    def _delete(self, subject: Subject, update: SubjectUpdate) -> Subject:
        if self._stored[subject.id].revision:
            self.gone.append((self._stored[subject.id], SubjectKind.DELETED))
        self._changes.pop(subject.id, None)
        if not update.muted:
            id_ = derive(self._execution.uuid, f"deletions/{len(self.contents)}")
            self._emit(of_deletion(subject, "DELETED", id_, self._time, update.extra))
        another = fresh(self._execution.tenant, subject.id, self._time)
        self._stored[subject.id] = self._now[subject.id] = another
        return another

    def _write(self, step: Step, deed: SetProperty | DeleteProperty) -> tuple[Change, ...]:
        subject = self._subject(deed.subject)
        write = _write_of(step, deed)
        if not subject.revision and write.kind == "delete":
            return ()
        assert self._evaluate is not None
        return tuple(self._apply(deed.subject, [write], self._evaluate, {}))

    def _apply(self, id_: str, writes: Sequence[Write], evaluate: Evaluate, extra: Mapping[str, Any]) -> list[Change]:
        subject, stored = self._now[id_], self._stored[id_]
        # All writes of one execution are one change, so they count once.
        changed, applied = apply(replace(subject, revision=stored.revision), writes, self._time, evaluate)
        self._now[id_] = replace(changed, revision=max(changed.revision, subject.revision))
        changes = [
            replace(one.change, event=self._tell(one.change, stored.revision + 1, extra) if one.told else "")
            for one in applied
        ]
        self._changes.setdefault(id_, []).extend(changes)
        return [shown(change) for change in changes]

    def _tell(self, change: Change, revision: int, extra: Mapping[str, Any]) -> str:
        id_ = derive(self._execution.uuid, f"changes/{len(self.contents)}")
        return self._emit(of_change(change, revision, id_, self._time, extra, inherited(self._event)))

    def _subject(self, id_: str) -> Subject:
        if id_ not in self._now:
            stored, over = self._load(id_)
            if over is not None:
                self.gone.append((over, SubjectKind.EXPIRED))
                self.contents.append(of_deletion(over, "EXPIRED", new_id(), self._time, {}))
            self._stored[id_] = self._now[id_] = stored or fresh(self._execution.tenant, id_, self._time)
        return self._now[id_]


def _write_of(step: Step, deed: SetProperty | DeleteProperty) -> Write:
    if isinstance(deed, DeleteProperty):
        return Write(deed.property, "delete", None, deed.ext, deed.muted)
    if deed.expression:
        return Write(deed.property, "expression", step.id, deed.ext, deed.muted)
    return Write(deed.property, "set", deed.value, deed.ext, deed.muted)


def shown(change: Change) -> Change:
    """Returns a change as executions show it: without values that are too large."""
    values: dict[str, Any] = {}
    for name in ("old", "new"):
        if clipped(getattr(change, name), MAX_CHANGE_BYTES) is ABSENT:
            values |= {name: None, f"has_{name}": False}
    return replace(change, **values)
