"""What an operation on a resource has to do: kept with the operation, so that any process can take it up."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import orjson
from sutler.ids import new_id
from sutler.operations.model import Operation, State

from services.resource.callers import Caller
from services.resource.handling import HandlerCall, Invocation
from services.resource.history import Cause, Change, Entry
from services.resource.ports import SecretBox
from services.resource.resource_type import Handler, ResourceType

PREFIX = "resourceOperations/"
TIMEOUT_SECONDS = 3600.0
IDLE_SECONDS = 60.0
MIN_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 60.0
CONCURRENCY = 64

Verb = Literal["apply", "delete", "invoke", "apply_stack", "delete_stack"]


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, and with whom.

    Attributes:
        verb: ``apply`` makes the resource what is declared, ``delete`` removes it, ``invoke`` carries out an action;
            ``apply_stack`` and ``delete_stack`` do so with all members of a stack.
        uid: The uid of the resource or stack, so that a later one of the same name is not mistaken for it.
        handler: The handler as it was when the operation began.
        acts_for: For whom the handler acts, as :func:`sutler.auth.encode_principal` writes it.
        request_id: The request id of the call that began it.
        traceparent: The W3C trace context of that call.
        children: How many resources were below when a delete began.
        earlier: By the uid of a resource below, how many attempts there were before it was first called for.
        cause: What led to it.
        origin: The resource whose handler asked for it, where the cause says so.
        action: The id of the action.
        parameters: What the action is given; empty if that holds secrets.
        sealed: What the action is given, encrypted and in base64, if it holds secrets.
        stack: The stack for which it is done; empty if for none.
        run: The operation of that stack, which goes on when this one has ended.
        force: Whether what stands below members of a stack goes with them.
        gives_up: The uids of what goes without its handler if that cannot be asked once more.
        unreachable: The uids of what a delete has called for last, in vain.
    """

    verb: Verb
    uid: str
    handler: Handler
    acts_for: str = ""
    request_id: str = ""
    traceparent: str = ""
    children: int = 0
    cause: Cause = Cause.REQUEST
    origin: str = ""
    action: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sealed: str = ""
    stack: str = ""
    run: str = ""
    force: bool = False
    gives_up: Sequence[str] = ()
    unreachable: Sequence[str] = ()
    earlier: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, operation: Operation) -> Work:
        """Returns the work of a stored operation."""
        stored: dict[str, Any] = dict(operation.work)
        lists = {name: tuple(stored.get(name) or ()) for name in ("gives_up", "unreachable")}
        return cls(**{**stored, **lists, "handler": Handler(**stored["handler"]), "cause": Cause(stored["cause"])})

    def stored(self) -> Mapping[str, Any]:
        """Returns it as JSON data."""
        return {**asdict(self), "cause": int(self.cause)}

    def deadline(self, operation: Operation) -> float:
        """Returns when the operation must have ended, in seconds since 1970."""
        return operation.start_time + (self.handler.timeout or TIMEOUT_SECONDS)


def work_for(type: ResourceType, verb: Verb, uid: str, caller: Caller) -> Work:
    """Returns the work of a call on a resource of a type."""
    ids = (caller.request_id, caller.traceparent)
    return Work(verb, uid, type.made_by, type.principal, *ids, stack=caller.stack, run=caller.run)


def with_invocation(work: Work, invocation: Invocation, box: SecretBox) -> Work:
    """Returns work that carries out an action; parameters with secrets are encrypted."""
    if not invocation.secret:
        return replace(work, action=invocation.action, parameters=invocation.parameters)
    sealed = box.seal(orjson.dumps(invocation.parameters).decode(), owner=work.uid)
    return replace(work, action=invocation.action, sealed=b64encode(sealed).decode())


def invocation_of(work: Work, box: SecretBox) -> Invocation:
    """Returns the action that work carries out.

    Raises:
        ValueError: If no configured key opens its parameters.
    """
    if not work.sealed:
        return Invocation(work.action, work.parameters)
    opened: dict[str, Any] = orjson.loads(box.open(b64decode(work.sealed), owner=work.uid))
    return Invocation(work.action, opened, secret=True)


def question_for(type: ResourceType, caller: Caller, now: float, *, validate_only: bool) -> HandlerCall:
    """Returns how a handler is called before there is an operation."""
    handler = type.made_by
    return HandlerCall(
        tenant=caller.tenant,
        handler=handler,
        principal=caller.actor,
        acts_for=type.principal,
        correlation_id=caller.correlation_id,
        traceparent=caller.traceparent,
        request_id=caller.request_id,
        deadline=now + (handler.timeout or TIMEOUT_SECONDS),
        validate_only=validate_only,
    )


def operation_for(caller: Caller, target: str, *, ended: bool, work: Work | None = None) -> Operation:
    """Returns a new operation for a call; one that has ended already has succeeded."""
    return Operation(
        name=f"{PREFIX}{new_id()}",
        tenant=caller.tenant,
        method=caller.method,
        target=target,
        state=State.SUCCEEDED if ended else State.PENDING,
        progress=100 if ended else 0,
        work={} if work is None else work.stored(),
        principal=caller.encoded,
        creator=caller.actor,
        correlation_id=caller.correlation_id,
    )


def entry(operation: Operation, work: Work, kind: Change, cause: Cause = Cause.OPERATION) -> Entry:
    """Returns what the log says of a change that an operation makes."""
    return Entry(
        kind=kind,
        cause=cause,
        actor=operation.creator,
        origin=work.stack if cause is Cause.STACK else work.origin if cause is work.cause else "",
        method=operation.method,
        request_id=work.request_id,
        operation=operation.name,
        correlation_id=operation.correlation_id,
    )
