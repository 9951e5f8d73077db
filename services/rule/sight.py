"""What the expressions of an execution see: the event, the subject with what was written so far, and answers."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sutler.errors import FailedPrecondition, Invalid, SutlerError
from sutler.expressions import Bindings, Environment, EvaluationFailed

from services.rule.carrying import carrying
from services.rule.definitions import (
    MAX_DELAY_SECONDS,
    CallMethod,
    Deed,
    DeleteProperty,
    EmitEvent,
    MakeTask,
    SetProperty,
)
from services.rule.events import Event
from services.rule.http_requests import HttpRequest, check_headers
from services.rule.outcomes import Context
from services.rule.programs import CompiledAction, Program
from services.rule.steps import Step
from services.rule.subjects import Evaluate, Subject, apply, missing_subject, no_subject
from services.rule.templates import Keep
from services.rule.values import (
    MAX_ADDRESS_BYTES,
    MAX_EXTRA_BYTES,
    MAX_REQUEST_BYTES,
    MAX_REQUEST_LEVELS,
    MAX_VALUE_BYTES,
    exceeded,
    plain,
)
from services.rule.variables import ACTIONS, COMMITS, of_event
from services.rule.writes import TaskOutcome, Write
from services.rule.writing import compile_writes


class Sight:
    """The variables of one attempt.

    Args:
        event: The event that is handled.
        program: The rule.
        context: With the subject and the answers of earlier calls.

    Attributes:
        variables: The values, in plain Python.
        results: The answers, by action id.
    """

    def __init__(self, event: Event, program: Program, context: Context) -> None:
        self._event = event
        self._program = program
        subject = context.subject.facts() if context.subject else no_subject(event.content.subject)
        self.results: dict[str, Any] = dict(context.answers)
        self.variables: dict[str, Any] = {**of_event(event), "subject": subject, "results": self.results}

    def bind(self, environment: Environment) -> Bindings:
        """Binds the values for evaluation."""
        return self._program.bind(environment, self.variables)

    def render(self, action: CompiledAction, field: str, keep: Keep | None = None) -> Deed:
        """Returns what an action is to do, with all templates filled in.

        Args:
            action: The action.
            field: Its place in the rule, for errors.
            keep: Says which templates are left as they are; none if None.

        Raises:
            FailedPrecondition: If an expression fails, or the action means a subject and the event has none.
            Invalid: If data that were filled in are too large, or too deep (TOO_LARGE), or cannot stand in a header
                (TEMPLATE_INVALID).
        """
        try:
            deed = action.render(self.bind(ACTIONS), keep)
        except EvaluationFailed as error:
            raise expression_failed(field, error) from error
        check_size(deed, f"action {action.id}", {"action": action.id})
        if isinstance(deed, HttpRequest):
            check_headers(deed, field)
            return carrying(deed, self._event) if deed.event else deed
        if isinstance(deed, SetProperty | DeleteProperty):
            subject = deed.subject or self._event.content.subject
            if not subject:
                raise missing_subject(action.id, self._event.name)
            return replace(deed, subject=subject)
        return deed

    def delay(self, action: CompiledAction, field: str, now: float) -> float:
        """Returns how many seconds an action waits.

        Raises:
            FailedPrecondition: If its expression fails, or gives no duration or time within 366 days.
        """
        if action.expression is None:
            return float(getattr(action.do, "duration", 0.0))
        try:
            value = action.expression.evaluate(self.bind(ACTIONS))
        except EvaluationFailed as error:
            raise expression_failed(field, error) from error
        if isinstance(value, datetime.timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, datetime.datetime):
            seconds = value.timestamp() - now
        else:
            raise expression_failed(field, EvaluationFailed(f"a {type(value).__name__} is no duration and no time"))
        if seconds > MAX_DELAY_SECONDS:
            raise expression_failed(field, EvaluationFailed("the delay is longer than 366 days"))
        return max(0.0, seconds)

    def did(self, action: CompiledAction, step: Step) -> None:
        """Lets later actions see what an action wrote into the event's subject.

        Raises:
            FailedPrecondition: If its expression fails.
        """
        if step.outcome is not None:
            self._did_outside(step.outcome)
        deed = step.deed
        if not isinstance(deed, SetProperty | DeleteProperty) or deed.subject != self._event.content.subject:
            return
        key = "ext_properties" if deed.ext else "properties"
        facts = dict(self.variables["subject"][key])
        if isinstance(deed, DeleteProperty):
            facts.pop(deed.property, None)
        elif action.expression is not None:
            facts[deed.property] = self._evaluate(action, facts.get(deed.property), self.variables["subject"])
        else:
            facts[deed.property] = deed.value
        self.variables["subject"] = {**self.variables["subject"], key: facts}

    def _did_outside(self, outcome: TaskOutcome) -> None:
        own = self._event.content.subject
        for update in outcome.updates:
            if update.subject == own:
                facts = no_subject(own) if update.deleted else self.variables["subject"]
                before = Subject(own, "", "", 0.0, 0.0, facts["properties"], facts["ext_properties"], facts["revision"])
                after, _ = apply(before, update.writes, 0.0, compile_writes(update.writes))
                self.variables["subject"] = {**after.facts(), "revision": facts["revision"]}

    def at_commit(self) -> Evaluate:
        """Returns what gives the values of the actions' expressions when their writes are made."""
        actions = {action.id: action for action in self._program.actions}
        own = self._event.content.subject

        def evaluate(write: Write, old: Any, subject: Subject) -> Any:
            facts = subject.facts() if subject.id == own else self.variables["subject"]
            return self._evaluate(actions[write.value], old, facts)

        return evaluate

    def _evaluate(self, action: CompiledAction, old: Any, subject: Any) -> Any:
        assert action.expression is not None
        values = {**self.variables, "old": old, "subject": subject}
        try:
            return plain(action.expression.evaluate(self._program.bind(COMMITS, values)))
        except EvaluationFailed as error:
            raise expression_failed(f"action {action.id}", error) from error


def check_size(deed: Deed, maker: str, metadata: Mapping[str, str]) -> None:
    """Checks that data which were filled in keep to the limits of open data.

    Args:
        deed: What is to be done.
        maker: What made it, for the message.
        metadata: The variables of ``maker``.

    Raises:
        Invalid: If they are too large, or too deep (TOO_LARGE).
    """
    found: dict[str, tuple[Any, ...]] = {}
    match deed:
        case SetProperty():
            found["value"] = (deed.value, MAX_VALUE_BYTES)
        case EmitEvent():
            found |= {"data": (deed.data, MAX_VALUE_BYTES), "extra": (deed.extra, MAX_EXTRA_BYTES)}
        case MakeTask():
            found["data"] = (deed.data, MAX_VALUE_BYTES)
        case CallMethod():
            found["request"] = (deed.request, MAX_REQUEST_BYTES, MAX_REQUEST_LEVELS)
        case HttpRequest():
            found |= {"json": (deed.json, MAX_VALUE_BYTES), "text": (deed.text, MAX_VALUE_BYTES)}
            found |= {"uri": (deed.uri, MAX_ADDRESS_BYTES), "headers": (dict(deed.headers), MAX_EXTRA_BYTES)}
    for name, limits in found.items():
        if broken := exceeded(*limits):
            raise Invalid(
                f"the {name} that {maker} makes exceeds a limit of open data: {broken}",
                reason="TOO_LARGE",
                metadata={**metadata, "field": name, **broken},
            )


def expression_failed(field: str, error: EvaluationFailed) -> SutlerError:
    """Returns the error for an expression that gave one on this data."""
    return FailedPrecondition(
        f"{field}: {error}; guard what may be missing with has()",
        reason="EXPRESSION_FAILED",
        metadata={"field": field, "cause": str(error)},
    )
