"""The RPCs about price tables."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.ids import new_id
from sutler.interceptors.idempotency import once
from sutler.provider.v1 import provider_pb2 as pb

from services.provider import declaring
from services.provider.cost.price_checking import checked_prices
from services.provider.cost.prices import COLLECTION
from services.provider.declaring import Update
from services.provider.ports import Book
from services.provider.servicer.parts import Parts
from services.provider.wire import prices as wire


class PriceRpcs:
    """Get, List, Create, Update and Delete price tables."""

    _parts: Parts

    async def GetPriceTable(self, request: pb.GetPriceTableRequest, context: Any) -> pb.PriceTable:
        """Gets one price table."""
        tenant = current().tenant
        found = await self._parts.store.read(lambda book: declaring.get(book.price_tables, tenant, request.name))
        return wire.to_message(found)

    async def ListPriceTables(self, request: pb.ListPriceTablesRequest, context: Any) -> pb.ListPriceTablesResponse:
        """Lists price tables."""
        found, token = await self._parts.lister.page(self._parts.listings.price_tables, request, wire.to_message)
        return pb.ListPriceTablesResponse(price_tables=found, next_page_token=token)

    async def CreatePriceTable(self, request: pb.CreatePriceTableRequest, context: Any) -> pb.PriceTable:
        """Creates a price table."""
        name = f"{COLLECTION}/{request.price_table_id}"
        table = wire.from_message(request.price_table, current().tenant, name, new_id())

        def create(book: Book) -> pb.PriceTable:
            created = declaring.create(
                book.price_tables,
                table,
                lambda wanted: checked_prices(book, wanted),
                validate_only=request.validate_only,
            )
            return wire.to_message(created)

        return await self._parts.store.change(create, once(lambda message: message))

    async def UpdatePriceTable(self, request: pb.UpdatePriceTableRequest, context: Any) -> pb.PriceTable:
        """Changes a price table."""
        wanted = request.price_table
        how = Update(
            tenant=current().tenant,
            name=wanted.name,
            etag=wanted.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        mask = request.update_mask if request.HasField("update_mask") else None
        principal = current().principal

        def update(book: Book) -> pb.PriceTable:
            changed = declaring.update(
                book.price_tables,
                principal,
                how,
                lambda stored: wire.merged(stored, wanted, mask, how, new_id()),
                lambda merged: checked_prices(book, merged),
            )
            return wire.to_message(changed)

        return await self._parts.store.change(update, once(lambda message: message))

    async def DeletePriceTable(self, request: pb.DeletePriceTableRequest, context: Any) -> Empty:
        """Deletes a price table."""
        how = Update(
            tenant=current().tenant,
            name=request.name,
            etag=request.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )

        def delete(book: Book) -> Empty:
            declaring.delete(book.price_tables, how, lambda table: None)
            return Empty()

        return await self._parts.store.change(delete, once(lambda message: message))
