"""Makes what an execution writes and emits: subjects and events, in the order of its actions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sutler.ids import derive
from sutler.store import Transaction

from services.rule.adapters.database import subjects
from services.rule.definitions import DeleteProperty, EmitEvent, SetProperty
from services.rule.emissions import make_content
from services.rule.events import Content, event_name
from services.rule.executions import Execution, Job
from services.rule.outcomes import Finished
from services.rule.steps import MAX_CHANGE_BYTES, Change, Step, StepState
from services.rule.subjects import Subject, Write, apply
from services.rule.tellings import inherited, of_change
from services.rule.values import ABSENT, clipped


@dataclass(slots=True)
class Effects:
    """What an execution writes and emits.

    Attributes:
        execution: The execution, whose steps tell of it.
        contents: The events, in order.
    """

    execution: Execution
    contents: list[Content] = field(default_factory=list)


def take_effect(tx: Transaction, job: Job, result: Finished) -> Effects:
    """Writes the subjects of an execution, and returns the events that it causes.

    Raises:
        FailedPrecondition: If an expression fails.
        Invalid: If a subject or an event would be too large.
    """
    maker = _Maker(tx, job, result)
    steps = tuple(maker.make(step) for step in result.execution.steps)
    maker.save()
    return Effects(replace(result.execution, steps=steps), maker.contents)


class _Maker:
    def __init__(self, tx: Transaction, job: Job, result: Finished) -> None:
        self.contents: list[Content] = []
        self._tx = tx
        self._job = job
        self._result = result
        self._stored: dict[str, Subject] = {}
        self._now: dict[str, Subject] = {}

    def make(self, step: Step) -> Step:
        """Makes what one step says, and returns the step as it is shown from now on."""
        if step.state is not StepState.SUCCEEDED or step.deed is None:
            return step
        if isinstance(step.deed, EmitEvent):
            content = make_content(step.deed, self._result.execution, step.id, self._job.event, self._tx.now)
            return replace(step, deed=None, events=(self._emit(content),))
        if isinstance(step.deed, SetProperty | DeleteProperty):
            return replace(step, deed=None, changes=self._write(step, step.deed))
        return replace(step, deed=None)

    def save(self) -> None:
        """Stores the subjects."""
        for subject in self._now.values():
            if subject.revision:
                subjects.save(self._tx, subject)

    def _emit(self, content: Content) -> str:
        self.contents.append(content)
        return event_name(self._job.execution.tenant, content.source, content.id)

    def _write(self, step: Step, deed: SetProperty | DeleteProperty) -> tuple[Change, ...]:
        subject = self._subject(deed.subject)
        stored = self._stored[deed.subject]
        write = _write_of(step, deed)
        if not subject.revision and write.kind == "delete":
            return ()
        assert self._result.evaluate is not None
        # All writes of one execution are one change, so they count once.
        changed, applied = apply(
            replace(subject, revision=stored.revision), [write], self._tx.now, self._result.evaluate
        )
        self._now[deed.subject] = replace(changed, revision=max(changed.revision, subject.revision))
        return tuple(
            shown(replace(one.change, event=self._tell(one.change, stored.revision + 1) if one.told else ""))
            for one in applied
        )

    def _tell(self, change: Change, revision: int) -> str:
        id_ = derive(self._job.execution.uuid, f"changes/{len(self.contents)}")
        event = self._job.event
        return self._emit(of_change(change, revision, id_, self._tx.now, {}, inherited(event)))

    def _subject(self, id_: str) -> Subject:
        if id_ not in self._now:
            tenant = self._job.execution.tenant
            self.contents += subjects.end_expired(self._tx, tenant, id_)
            found = subjects.find(self._tx, tenant, id_) or subjects.fresh(self._tx, tenant, id_)
            self._stored[id_] = self._now[id_] = found
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
