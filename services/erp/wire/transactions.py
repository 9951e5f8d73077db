"""Transactions on the wire: what is asked for, and the journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.rpc.status_pb2 import Status
from sutler.erp.v1 import erp_pb2
from sutler.wire import from_struct, from_value, timestamp, to_struct, to_value

from services.erp.journal import Entry, Kind
from services.erp.transactions.model import CreateUndo, MethodCall, Step, StepSpec, Transaction, Wish
from services.erp.wire.records import call_context


def wish(request: erp_pb2.RunTransactionRequest) -> Wish:
    """Returns the writes that a request asks for."""
    return Wish(
        steps=tuple(_spec(index, one) for index, one in enumerate(request.steps)),
        transaction_id=request.transaction_id,
        detached=request.detached,
        context=call_context(request),
        validate_only=request.validate_only,
        byte_size=sum(one.ByteSize() for one in request.steps),
    )


def _spec(index: int, message: erp_pb2.TransactionStep) -> StepSpec:
    kind = Kind(message.WhichOneof("write") or "")
    more = _CONTENTS[kind](getattr(message, kind))
    return StepSpec(step_id=message.step_id or str(index + 1), kind=kind, model=message.model, **more)


def _create(write: erp_pb2.CreateStep) -> dict[str, Any]:
    undo = erp_pb2.CreateStep.Undo.Name(write.undo).removeprefix("UNDO_")
    return {
        "values": (from_struct(write.values),),
        "external_ids": (write.external_id,) if write.external_id else (),
        "undo": CreateUndo(undo),
    }


def _update(write: erp_pb2.UpdateStep) -> dict[str, Any]:
    return {"targets": (from_value(write.id),), "values": (from_struct(write.values),), "etags": (write.etag,)}


def _delete(write: erp_pb2.DeleteStep) -> dict[str, Any]:
    return {"targets": (from_value(write.id),), "permanent": write.permanent, "etags": (write.etag,)}


def _call(write: erp_pb2.CallStep) -> dict[str, Any]:
    return {
        "targets": tuple(from_value(one) for one in write.record_ids),
        "call": _method(write),
        "undo_call": _method(write.undo) if write.HasField("undo") else None,
    }


def _method(message: erp_pb2.CallStep | erp_pb2.CallUndo) -> MethodCall:
    positional = tuple(from_value(one) for one in message.positional.values)
    return MethodCall(method=message.method, positional=positional, named=from_struct(message.named))


_CONTENTS: dict[Kind, Any] = {Kind.CREATE: _create, Kind.UPDATE: _update, Kind.DELETE: _delete, Kind.CALL: _call}


def transaction(one: Transaction, *, steps: bool = True) -> erp_pb2.Transaction:
    """Returns a transaction, or a single write as a transaction of one step."""
    entry = one.entry
    message = erp_pb2.Transaction(
        name=entry.name,
        uid=entry.uid,
        create_time=timestamp(entry.create_time),
        update_time=timestamp(entry.update_time),
        etag=entry.etag,
        state=erp_pb2.Transaction.State.Value(f"STATE_{entry.state}"),
        step_count=int(entry.payload["step_count"]) if entry.kind is Kind.STEPS else 1,
        method=entry.method,
        creator=entry.creator,
        username=entry.username,
        request_id=entry.request_id,
        correlation_id=entry.correlation_id,
    )
    if entry.end_time is not None:
        message.end_time.CopyFrom(timestamp(entry.end_time))
    if entry.error:
        message.error.CopyFrom(Status.FromString(entry.error))
    if steps:
        message.steps.extend([_single(entry)] if entry.kind is not Kind.STEPS else _steps(one.steps))
    return message


def planned(one: Transaction) -> erp_pb2.Transaction:
    """Returns a transaction that was only checked."""
    message = erp_pb2.Transaction(
        method=one.entry.method, creator=one.entry.creator, username=one.entry.username, steps=_steps(one.steps)
    )
    message.step_count = len(message.steps)
    return message


def _steps(steps: tuple[Step, ...]) -> Iterator[erp_pb2.TransactionStep]:
    for step in steps:
        for index in range(1 if step.spec.kind is Kind.CALL else step.spec.size):
            yield _step(step, index)


def _step(step: Step, index: int) -> erp_pb2.TransactionStep:
    """Returns one record's part of a step."""
    spec = step.spec
    message = erp_pb2.TransactionStep(
        step_id=spec.step_ids[index if spec.rows else 0],
        model=spec.model,
        state=erp_pb2.TransactionStep.State.Value(f"STATE_{step.state}"),
        external_id=step.keys[index] if step.keys else "",
    )
    if index < len(step.record_ids) and (spec.kind is not Kind.CALL or len(step.record_ids) == 1):
        message.record_id = step.record_ids[index]
    if step.old_values:
        message.old_values.CopyFrom(to_struct(step.old_values[index]))
    if step.result is not None:
        message.result.CopyFrom(to_value(step.result))
    for name in ("error", "undo_error"):
        if getattr(step, name):
            getattr(message, name).CopyFrom(Status.FromString(getattr(step, name)))
    for name in ("start_time", "end_time", "undo_time"):
        if getattr(step, name) is not None:
            getattr(message, name).CopyFrom(timestamp(getattr(step, name)))
    _write(message, spec, index)
    return message


def _write(message: erp_pb2.TransactionStep, spec: StepSpec, index: int) -> None:
    """Sets what one record's part of a step writes."""
    write = getattr(message, spec.kind)
    write.SetInParent()
    if spec.kind is Kind.CREATE:
        write.values.CopyFrom(to_struct(spec.values[index]))
        write.external_id = spec.external_ids[index] if spec.external_ids else ""
        write.undo = erp_pb2.CreateStep.Undo.Value(f"UNDO_{spec.undo}")
        return
    if spec.call is not None:
        write.record_ids.extend(to_value(one) for one in spec.targets)
        _set_call(write, spec.call)
        if spec.undo_call is not None:
            _set_call(write.undo, spec.undo_call)
        return
    write.id.CopyFrom(to_value(spec.targets[index]))
    write.etag = spec.etags[index] if spec.etags else ""
    if spec.kind is Kind.UPDATE:
        write.values.CopyFrom(to_struct(spec.values[0]))
    else:
        write.permanent = spec.permanent


def _set_call(write: erp_pb2.CallStep | erp_pb2.CallUndo, call: MethodCall) -> None:
    write.method = call.method
    write.positional.CopyFrom(to_value(call.positional).list_value)
    write.named.CopyFrom(to_struct(call.named))


def _single(one: Entry) -> erp_pb2.TransactionStep:
    """Returns a single write as a step."""
    step = erp_pb2.TransactionStep(
        step_id="1", model=one.model, state=erp_pb2.TransactionStep.State.Value(f"STATE_{one.state}")
    )
    if len(one.record_ids) == 1:
        step.record_id = one.record_ids[0]
    if len(one.keys) == 1:
        step.external_id = one.keys[0]
    if one.error:
        step.error.CopyFrom(Status.FromString(one.error))
    step.start_time.CopyFrom(timestamp(one.create_time))
    written = getattr(step, one.kind)
    written.SetInParent()
    payload = dict(one.payload)
    if one.kind == "call_method":
        written.method = payload["method"]
        written.record_ids.extend(to_value(one_id) for one_id in one.record_ids)
        written.positional.CopyFrom(to_value(payload["positional"]).list_value)
        written.named.CopyFrom(to_struct(payload["named"]))
    elif one.kind == "update_record":
        written.id.CopyFrom(to_value(one.record_ids[0]))
        written.values.CopyFrom(to_struct(payload))
    elif one.kind == "create_record" and len(payload["rows"]) == 1:
        written.values.CopyFrom(to_struct(payload["rows"][0]))
    return step
