"""Requests that tests of writes share."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from sutler.erp.v1 import erp_pb2
from sutler.wire import to_struct

from tests.integration.erp.conftest import MAIN

LINES = {"create": [{"product_id": 1, "product_uom_qty": 3}, {"display_type": "line_note", "name": "a note"}]}


def create(values: dict[str, Any], model: str = "sale.order", **more: Any) -> erp_pb2.CreateRecordRequest:
    return erp_pb2.CreateRecordRequest(connection=MAIN, model=model, values=to_struct(values), **more)


def update(
    record_id: int, values: dict[str, Any], model: str = "res.partner", **more: Any
) -> erp_pb2.UpdateRecordRequest:
    return erp_pb2.UpdateRecordRequest(connection=MAIN, model=model, id=record_id, values=to_struct(values), **more)


def call(method: str, *ids: int, **more: Any) -> erp_pb2.CallMethodRequest:
    return erp_pb2.CallMethodRequest(connection=MAIN, model="sale.order", method=method, record_ids=ids, **more)


def request_id() -> str:
    return str(uuid.uuid4())


def entries(data: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(data.removeprefix("sqlite:///")) as store:
        return store.execute("SELECT state, kind FROM journal").fetchall()
