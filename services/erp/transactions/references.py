"""References between steps: ``${steps.order.id}`` becomes the id of the record that the step ``order`` created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.erp.journal import Kind
from services.erp.transactions import faults
from services.erp.transactions.model import MethodCall, StepSpec

_ANY = re.compile(r"\$\{steps\..*\}", re.DOTALL)
_ID = re.compile(r"\$\{steps\.([A-Za-z0-9][A-Za-z0-9._-]*)\.id\}")


def check_references(specs: Sequence[StepSpec]) -> None:
    """Checks that each reference is to the record of an earlier step that creates one.

    Raises:
        Invalid: If one is not (STEP_REFERENCE_INVALID).
    """
    created: set[str] = set()
    for spec in specs:
        for text in _texts([spec.targets, spec.values, _args(spec.call), _args(spec.undo_call)]):
            match = _ID.fullmatch(text)
            if _ANY.fullmatch(text) and (match is None or match[1] not in created):
                raise faults.reference_invalid(spec.step_id, text)
        if spec.kind is Kind.CREATE:
            created.add(spec.step_id)


def resolved(spec: StepSpec, ids: Mapping[str, int]) -> StepSpec:
    """Returns a step with its references replaced.

    Args:
        spec: The step.
        ids: The records that earlier steps created, by the ids of the steps.
    """
    return replace(
        spec,
        targets=tuple(_replaced(spec.targets, ids)),
        values=tuple(_replaced(spec.values, ids)),
        call=_call(spec.call, ids),
        undo_call=_call(spec.undo_call, ids),
    )


def _call(call: MethodCall | None, ids: Mapping[str, int]) -> MethodCall | None:
    if call is None:
        return None
    return replace(call, positional=tuple(_replaced(call.positional, ids)), named=_replaced(call.named, ids))


def _args(call: MethodCall | None) -> Any:
    return [call.positional, call.named] if call else []


def _replaced(value: Any, ids: Mapping[str, int]) -> Any:
    if isinstance(value, str):
        match = _ID.fullmatch(value)
        return ids[match[1]] if match else value
    if isinstance(value, Mapping):
        return {key: _replaced(item, ids) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, ids) for item in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
