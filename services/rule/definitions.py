"""What a rule says: patterns, conditions, actions and policies, as its author wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from services.rule.http_requests import HttpRequest
from services.rule.policies import BreakerPolicy, RetryPolicy

DEFAULT_TIMEOUT_SECONDS = 30.0
MAX_DELAY_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True)
class SetProperty:
    """Sets a property, or an ext property, of a subject.

    Attributes:
        property: Its name.
        subject: The id of the subject, a template; that of the event if empty.
        value: A template for the new value, if there is no expression.
        expression: CEL over ``old`` and the rule's variables; evaluated when the execution commits.
        muted: Emits no event.
        ext: Means the ext property of that name.
    """

    property: str
    subject: str = ""
    value: Any = None
    expression: str = ""
    muted: bool = False
    ext: bool = False
    kind: Literal["set_property", "set_ext_property"] = "set_property"


@dataclass(frozen=True, slots=True)
class DeleteProperty:
    """Removes a property. The attributes are those of :class:`SetProperty`."""

    property: str
    subject: str = ""
    muted: bool = False
    ext: bool = False
    kind: Literal["delete_property"] = "delete_property"


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Emits an event. All strings are templates.

    Attributes:
        type: CloudEvents ``type``.
        source: CloudEvents ``source``; made from the rule's name if empty.
        subject: CloudEvents ``subject``; that of the event if None, none if empty.
        datacontenttype: CloudEvents ``datacontenttype``.
        dataschema: CloudEvents ``dataschema``.
        data: CloudEvents ``data``, if ``has_data``.
        has_data: Whether there are data; null is data.
        binary_data: Base64 of data that are bytes; empty if they are not.
        extensions: CloudEvents extension attributes.
        extra: Context for the rules beside the data.
        delay: Seconds that rules wait for it.
    """

    type: str
    source: str = ""
    subject: str | None = None
    datacontenttype: str = ""
    dataschema: str = ""
    data: Any = None
    has_data: bool = False
    binary_data: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0.0
    kind: Literal["emit_event"] = "emit_event"


@dataclass(frozen=True, slots=True)
class CallMethod:
    """Calls a unary gRPC method.

    Attributes:
        method: ``package.Service/Method``.
        request: The request in proto JSON form, a template.
        target: The id of a target in the settings; that of the service if empty.
        timeout: Seconds; what is left of the rule's if None.
    """

    method: str
    request: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    timeout: float | None = None
    kind: Literal["call_method"] = "call_method"


@dataclass(frozen=True, slots=True)
class Delay:
    """Waits.

    Attributes:
        duration: Seconds, if there is no expression.
        expression: CEL that gives a duration or a time.
    """

    duration: float = 0.0
    expression: str = ""
    kind: Literal["delay"] = "delay"


@dataclass(frozen=True, slots=True)
class MakeTask:
    """Makes a task in a queue, and waits until a worker has completed it.

    Attributes:
        queue: The id of the queue.
        handler: Which handler of the worker is meant.
        data: A template for the task's data, if ``has_data``.
        has_data: Whether there are data; null is data.
        timeout: Seconds that the task may take in all; until the execution is given up if None.
    """

    queue: str
    handler: str = ""
    data: Any = None
    has_data: bool = False
    timeout: float | None = None
    kind: Literal["worker"] = "worker"


OutsideCall = CallMethod | HttpRequest
"""An action that another system does, and answers."""

Deed = Annotated[
    SetProperty | DeleteProperty | EmitEvent | CallMethod | HttpRequest | Delay | MakeTask, Field(discriminator="kind")
]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a rule does.

    Attributes:
        id: Names it in executions and expressions; as written, so maybe empty.
        do: What it does.
    """

    id: str
    do: Deed


@dataclass(frozen=True, slots=True)
class Definition:
    """All of a rule that makes a new revision when it changes.

    Attributes:
        on: Patterns over the event type.
        actions: What to do, in order.
        subject: A pattern over the event's subject; empty for any, or none.
        when: CEL conditions that must all hold.
        retry: What happens after a failure; None if not set.
        breaker: When to pause; None if not set.
        timeout: Seconds that an attempt may work; 30 if None.
        priority: Rules with a higher one begin first.
    """

    on: tuple[str, ...]
    actions: tuple[Action, ...]
    subject: str = ""
    when: tuple[str, ...] = ()
    retry: RetryPolicy | None = None
    breaker: BreakerPolicy | None = None
    timeout: float | None = None
    priority: int = 0

    @property
    def action_ids(self) -> tuple[str, ...]:
        """The ids of the actions; ``action_1`` for the first and so on where none is set."""
        return tuple(action.id or f"action_{i}" for i, action in enumerate(self.actions, 1))

    @property
    def timeout_seconds(self) -> float:
        """How long one attempt may work."""
        return DEFAULT_TIMEOUT_SECONDS if self.timeout is None else self.timeout


_ADAPTER = TypeAdapter(Definition)


def dump(definition: Definition) -> str:
    """Returns a definition as JSON, for the store."""
    return _ADAPTER.dump_json(definition).decode()


def load(text: str) -> Definition:
    """Returns the definition that :func:`dump` wrote."""
    return _ADAPTER.validate_json(text)
