"""Compiles what a rule says: once for each revision, and once more to check it when it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sutler.errors import Violation
from sutler.expressions import Bindings, Environment, Expression, ExpressionInvalid

from services.rule.definitions import (
    Action,
    CallMethod,
    Deed,
    Definition,
    Delay,
    DeleteProperty,
    EmitEvent,
    MakeTask,
    SetProperty,
)
from services.rule.faults import Fault, at
from services.rule.http_requests import HttpRequest
from services.rule.http_requests import faults as request_faults
from services.rule.paths import Path, paths
from services.rule.patterns import pattern_violation
from services.rule.templates import Keep, Template, Text, compile_template
from services.rule.values import text
from services.rule.variables import ACTIONS, COMMITS, CONDITIONS

_TEXTS = ("subject", "type", "source", "datacontenttype", "dataschema", "uri", "text")
_TEXT_MAPS = ("extensions", "headers")


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """One of ``when``.

    Attributes:
        text: As it was written.
        expression: Compiled.
        paths: What it looks at.
    """

    text: str
    expression: Expression
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class CompiledAction:
    """One action.

    Attributes:
        id: Its id.
        do: What it does, as it was written.
        template: The fields of ``do`` that are templates.
        expression: Its expression; None if it has none.
    """

    id: str
    do: Deed
    template: Template
    expression: Expression | None

    def render(self, bindings: Bindings, keep: Keep | None = None) -> Deed:
        """Returns what is to be done, with the values put in but where ``keep`` says no. Raises EvaluationFailed."""
        fields = self.template.render(bindings, keep)
        for name in _TEXTS:
            if fields.get(name) is not None:
                fields[name] = text(fields[name])
        for name in _TEXT_MAPS:
            if name in fields:
                fields[name] = {key: text(value) for key, value in fields[name].items()}
        return replace(self.do, **fields)

    @property
    def sources(self) -> tuple[str, ...]:
        """The texts of all of its expressions."""
        return (*self.template.sources, *([self.expression.text] if self.expression else ()))

    def known(self) -> Deed:
        """Returns what is to be done as far as no event is needed to tell it: a subject that one tells is empty."""
        if not isinstance(self.do, SetProperty | DeleteProperty):
            return self.do
        subject = self.template.body["subject"]
        return replace(self.do, subject=subject if isinstance(subject, str) else "")


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled rule.

    Attributes:
        definition: What it was made from.
        conditions: Those of ``when``.
        actions: The actions.
        variables: The variables that any of its expressions may use.
    """

    definition: Definition
    conditions: tuple[CompiledCondition, ...]
    actions: tuple[CompiledAction, ...]
    variables: frozenset[str]

    def bind(self, environment: Environment, values: Mapping[str, Any]) -> Bindings:
        """Binds the values of those variables that the program uses."""
        return environment.bind({name: value for name, value in values.items() if name in self.variables})


def compile_program(definition: Definition) -> tuple[Program, list[Violation]]:
    """Compiles a rule, and returns it with all that is wrong with it; the program is of use if nothing is."""
    found = list(_pattern_violations(definition))
    conditions = [
        CompiledCondition(text_, compiled, paths(text_))
        for i, text_ in enumerate(definition.when)
        if (compiled := _compile(text_, f"when[{i}]", CONDITIONS.compile_condition, found)) is not None
    ]
    actions = [
        _action(id_, action, f"actions[{i}]", found)
        for i, (id_, action) in enumerate(zip(definition.action_ids, definition.actions, strict=True))
    ]
    found += _repeated(definition.action_ids)
    return Program(definition, tuple(conditions), tuple(actions), _variables(conditions, actions)), found


def compile_fields(do: Deed, field: str, environment: Environment, found: list[Violation]) -> Template:
    """Compiles those fields of an action that are templates; what is wrong is added to ``found``."""
    templates = {
        name: compile_template(value, f"{field}.{name}", environment, found) for name, value in _templated(do).items()
    }
    body = {name: template.body for name, template in templates.items()}
    if isinstance(body.get("uri"), Text):
        body["uri"] = replace(body["uri"], in_address=True)
    return Template(body, tuple(source for template in templates.values() for source in template.sources))


def _pattern_violations(definition: Definition) -> Iterable[Violation]:
    patterns = [(f"on[{i}]", pattern) for i, pattern in enumerate(definition.on)]
    if definition.subject:
        patterns.append(("subject", definition.subject))
    for field, pattern in patterns:
        violation = pattern_violation(pattern, field)
        if violation is not None:
            yield violation


def _repeated(ids: tuple[str, ...]) -> Iterable[Violation]:
    for i, id_ in enumerate(ids):
        if id_ in ids[:i]:
            yield Violation(f"actions[{i}].id", f"{id_!r} is the id of an earlier action", "FIELD_INVALID")


def _compile(text_: str, field: str, compile: Callable[[str], Expression], found: list[Violation]) -> Expression | None:
    try:
        return compile(text_)
    except ExpressionInvalid as error:
        found.append(Fault(field, f"is not a valid CEL expression: {error}", "EXPRESSION_INVALID", at(error.position)))
        return None


def _action(id_: str, action: Action, field: str, found: list[Violation]) -> CompiledAction:
    do = action.do
    where = f"{field}.{do.kind}"
    expression = None
    if isinstance(do, SetProperty | Delay) and do.expression:
        environment = COMMITS if isinstance(do, SetProperty) else ACTIONS
        expression = _compile(do.expression, f"{where}.expression", environment.compile, found)
    if isinstance(do, HttpRequest):
        found += request_faults(do, where)
    inner = f"{where}.event" if isinstance(do, EmitEvent) else where
    return CompiledAction(id_, do, compile_fields(do, inner, ACTIONS, found), expression)


def _templated(do: Deed) -> dict[str, Any]:
    """Returns the fields of an action that are templates."""
    match do:
        case SetProperty():
            return {"subject": do.subject, "value": do.value}
        case DeleteProperty():
            return {"subject": do.subject}
        case CallMethod():
            return {"request": do.request}
        case HttpRequest():
            return {"uri": do.uri, "headers": do.headers, "json": do.json, "text": do.text}
        case EmitEvent():
            names = ("type", "source", "subject", "datacontenttype", "dataschema", "data", "extensions", "extra")
            return {name: getattr(do, name) for name in names}
        case MakeTask():
            return {"data": do.data}
        case Delay():
            return {}


def _variables(conditions: list[CompiledCondition], actions: list[CompiledAction]) -> frozenset[str]:
    found = {path[0] for condition in conditions for path in condition.paths}
    for action in actions:
        found.update(path[0] for source in action.sources for path in paths(source))
    return frozenset(str(name) for name in found)
