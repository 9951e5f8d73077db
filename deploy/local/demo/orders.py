"""A salesperson at the sandbox ERP: writes orders, confirms and cancels them, reads their notes."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

DATABASE, UID, PASSWORD = "demo", 2, "admin"
PARTNER = 10
PRODUCT = "machine-small"
PATIENCE_SECONDS = 180.0


class ErpError(Exception):
    """The ERP refused something."""


@dataclass(frozen=True, slots=True)
class Order:
    """A sales order.

    Attributes:
        id: Its id in the ERP.
        name: Its number, such as ``S00004``.
        machines: How many machines it asks for.
    """

    id: int
    name: str
    machines: int


class Salesperson:
    """Works in the ERP by JSON-RPC, and has patience while it is down.

    Args:
        url: The ERP.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/jsonrpc"
        self._http = httpx.AsyncClient(timeout=10.0)
        self._ids = itertools.count(1)

    async def close(self) -> None:
        """Ends the connection."""
        await self._http.aclose()

    async def write_order(self, machines: int) -> Order:
        """Writes a quotation; its own reference tells it from others if the answer is lost."""
        reference = f"demo {uuid.uuid4()}"
        line = {"product_id": await self._product(), "product_uom_qty": machines}
        values = {"partner_id": PARTNER, "client_order_ref": reference, "order_line": [[0, 0, line]]}
        ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            found = await self._call("search_read", [[["client_order_ref", "=", reference]]], {"fields": ["name"]})
            if found:
                return Order(found[0]["id"], found[0]["name"], machines)
            try:
                await self._call("create", [values], once=True)
            except httpx.TransportError:
                if asyncio.get_running_loop().time() > ends:
                    raise
                await asyncio.sleep(0.1)

    async def confirm(self, order: Order) -> None:
        """Confirms an order; one that is confirmed already is fine."""
        await self._move(order, "action_confirm", "sale")

    async def cancel(self, order: Order) -> None:
        """Cancels an order; one that is cancelled already is fine."""
        await self._move(order, "action_cancel", "cancel", {"context": {"disable_cancel_warning": True}})

    async def notes(self, orders: list[Order]) -> dict[int, str]:
        """Returns the notes of orders by id; empty ones as empty text."""
        rows = await self._call("read", [[order.id for order in orders]], {"fields": ["note"]})
        return {row["id"]: row["note"] or "" for row in rows}

    async def _move(self, order: Order, action: str, state: str, options: dict[str, Any] | None = None) -> None:
        while (await self._call("read", [[order.id]], {"fields": ["state"]}))[0]["state"] != state:
            try:
                await self._call(action, [[order.id]], options or {}, once=True)
            except httpx.TransportError:
                await asyncio.sleep(0.1)

    async def _product(self) -> int:
        domain = [["default_code", "=", PRODUCT]]
        found: list[int] = await self._call("search", [domain], model="product.product")
        return found[0]

    async def _call(
        self,
        method: str,
        arguments: list[Any],
        options: dict[str, Any] | None = None,
        *,
        model: str = "sale.order",
        once: bool = False,
    ) -> Any:
        """Calls a method; what only reads is tried again while the ERP does not answer."""
        parameters = [DATABASE, UID, PASSWORD, model, method, arguments, options or {}]
        body = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "params": {"service": "object", "method": "execute_kw", "args": parameters},
        }
        ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                answer = (await self._http.post(self._url, json=body)).json()
                break
            except httpx.TransportError:
                if once or asyncio.get_running_loop().time() > ends:
                    raise
                await asyncio.sleep(0.1)
        if "error" in answer:
            raise ErpError(answer["error"]["data"]["message"])
        return answer.get("result")
