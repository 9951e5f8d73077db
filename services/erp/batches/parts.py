"""Batches that the ERP cannot create in one call: in steps, each of which one call takes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from services.erp.journal import Kind
from services.erp.ports import Prepared
from services.erp.transactions.model import StepSpec


def parts(prepared: Sequence[Prepared], rows: Iterable[int]) -> list[list[int]]:
    """Returns which rows one create takes: the places of those that are alike, in order."""
    alike: dict[Hashable, list[int]] = {}
    for row in rows:
        alike.setdefault((prepared[row].keyed, prepared[row].shape), []).append(row)
    return list(alike.values())


def create_steps(
    model: str, values: Sequence[Mapping[str, Any]], external_ids: Sequence[str], parts: Iterable[Sequence[int]]
) -> list[StepSpec]:
    """Returns one step for each part of the rows."""
    return [
        StepSpec(
            step_id=str(part[0] + 1),
            kind=Kind.CREATE,
            model=model,
            values=tuple(values[row] for row in part),
            external_ids=tuple(external_ids[row] for row in part),
            rows=tuple(part),
        )
        for part in parts
    ]
