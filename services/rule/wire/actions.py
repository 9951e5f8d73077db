"""The actions of rules."""

from __future__ import annotations

import base64
from typing import Any

from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration, from_struct, from_value, seconds, to_struct, to_value

from services.rule.definitions import (
    Action,
    CallMethod,
    Deed,
    Delay,
    DeleteProperty,
    EmitEvent,
    MakeTask,
    SetProperty,
)
from services.rule.http_requests import HttpRequest
from services.rule.wire.requests import request_from, request_pb
from services.rule.wire.times import given, span_pb


def action_from(message: pb.Action) -> Action:
    """Returns an action of a request."""
    kind = message.WhichOneof("action") or ""
    return Action(message.id, _READERS[kind](getattr(message, kind)))


def action_pb(action: Action) -> pb.Action:
    """Returns an action as the API shows it."""
    message = pb.Action(id=action.id)
    _write(message, action.do)
    return message


def _set_property(message: Any) -> SetProperty:
    ext = isinstance(message, pb.SetExtProperty)
    return SetProperty(
        message.property,
        message.subject,
        from_value(message.value) if message.HasField("value") else None,
        message.expression,
        False if ext else message.muted,
        ext,
        "set_ext_property" if ext else "set_property",
    )


def _delete_property(message: pb.DeleteProperty) -> DeleteProperty:
    return DeleteProperty(message.property, message.subject, message.muted, message.ext)


def draft_from(draft: pb.EventDraft) -> EmitEvent:
    """Returns an event that is still to be made."""
    return EmitEvent(
        draft.type,
        draft.source,
        draft.subject if draft.HasField("subject") else None,
        draft.datacontenttype,
        draft.dataschema,
        from_value(draft.data) if draft.HasField("data") else None,
        draft.HasField("data"),
        base64.b64encode(draft.binary_data).decode(),
        dict(draft.extensions),
        from_struct(draft.extra),
        seconds(draft.delay),
    )


def _call_method(message: pb.CallMethod) -> CallMethod:
    return CallMethod(message.method, from_struct(message.request), message.target, given(message, "timeout"))


def _emit_event(message: pb.EmitEvent) -> EmitEvent:
    return draft_from(message.event)


def _worker(message: pb.Worker) -> MakeTask:
    data = from_value(message.data) if message.HasField("data") else None
    return MakeTask(message.queue, message.handler, data, message.HasField("data"), given(message, "timeout"))


def _delay(message: pb.Delay) -> Delay:
    return Delay(seconds(message.duration), message.expression)


_READERS: dict[str, Any] = {
    "set_property": _set_property,
    "set_ext_property": _set_property,
    "delete_property": _delete_property,
    "emit_event": _emit_event,
    "call_method": _call_method,
    "http_request": request_from,
    "delay": _delay,
    "worker": _worker,
}
"""What reads the actions of each kind."""


def _write(message: pb.Action, do: Deed) -> None:
    match do:
        case SetProperty():
            target = message.set_ext_property if do.ext else message.set_property
            target.subject, target.property = do.subject, do.property
            if do.expression:
                target.expression = do.expression
            else:
                target.value.CopyFrom(to_value(do.value))
            if not do.ext:
                message.set_property.muted = do.muted
        case DeleteProperty():
            message.delete_property.CopyFrom(
                pb.DeleteProperty(subject=do.subject, property=do.property, muted=do.muted, ext=do.ext)
            )
        case EmitEvent():
            message.emit_event.event.CopyFrom(draft_pb(do))
        case CallMethod():
            message.call_method.CopyFrom(
                pb.CallMethod(
                    method=do.method, request=to_struct(do.request), target=do.target, timeout=span_pb(do.timeout)
                )
            )
        case HttpRequest():
            message.http_request.CopyFrom(request_pb(do))
        case MakeTask():
            worker = pb.Worker(queue=do.queue, handler=do.handler, timeout=span_pb(do.timeout))
            if do.has_data:
                worker.data.CopyFrom(to_value(do.data))
            message.worker.CopyFrom(worker)
        case Delay():
            if do.expression:
                message.delay.expression = do.expression
            else:
                message.delay.duration.CopyFrom(duration(do.duration))


def draft_pb(do: EmitEvent) -> pb.EventDraft:
    """Returns an event that is still to be made as the API shows it."""
    draft = pb.EventDraft(
        type=do.type,
        source=do.source,
        subject=do.subject,
        datacontenttype=do.datacontenttype,
        dataschema=do.dataschema,
        extensions=do.extensions,
    )
    if do.has_data:
        draft.data.CopyFrom(to_value(do.data))
    elif do.binary_data:
        draft.binary_data = base64.b64decode(do.binary_data)
    if do.extra:
        draft.extra.CopyFrom(to_struct(do.extra))
    if do.delay:
        draft.delay.CopyFrom(duration(do.delay))
    return draft
