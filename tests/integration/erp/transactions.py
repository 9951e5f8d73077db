"""Transactions that tests run, and what became of them."""

from __future__ import annotations

from typing import Any

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.wire import to_struct, to_value

from tests.integration.erp.conftest import MAIN

State = erp_pb2.Transaction
StepState = erp_pb2.TransactionStep


def create(values: dict[str, Any], model: str = "res.partner", step_id: str = "", **more: Any) -> Any:
    write = erp_pb2.CreateStep(values=to_struct(values), **more)
    return erp_pb2.TransactionStep(step_id=step_id, model=model, create_record=write)


def update(target: int | str, values: dict[str, Any], model: str = "res.partner", **more: Any) -> Any:
    write = erp_pb2.UpdateStep(id=to_value(target), values=to_struct(values), **more)
    return erp_pb2.TransactionStep(model=model, update_record=write)


def delete(target: int | str, model: str = "res.partner", **more: Any) -> Any:
    return erp_pb2.TransactionStep(model=model, delete_record=erp_pb2.DeleteStep(id=to_value(target), **more))


def call(method: str, *targets: int | str, model: str = "sale.order", undo: str = "", **more: Any) -> Any:
    write = erp_pb2.CallStep(method=method, record_ids=[to_value(one) for one in targets], **more)
    if undo:
        write.undo.method = undo
    return erp_pb2.TransactionStep(model=model, call_method=write)


def refused() -> Any:
    """A step that the gateway takes and the ERP refuses: a country of a code that another has."""
    return create({"name": "Again", "code": "BE"}, "res.country", "refused")


def request(*steps: Any, **more: Any) -> erp_pb2.RunTransactionRequest:
    return erp_pb2.RunTransactionRequest(parent=MAIN, steps=steps, **more)


async def run(client: Sutler, *steps: Any, **more: Any) -> erp_pb2.Transaction:
    return await client.erp.RunTransaction(request(*steps, **more))


async def get(client: Sutler, name: str) -> erp_pb2.Transaction:
    return await client.erp.GetTransaction(erp_pb2.GetTransactionRequest(name=name))


def states(transaction: erp_pb2.Transaction) -> list[str]:
    return [StepState.State.Name(one.state).removeprefix("STATE_") for one in transaction.steps]
