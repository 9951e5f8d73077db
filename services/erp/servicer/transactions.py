"""The RPCs that run transactions and show the journal of writes."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.filtering import parse, position
from sutler.interceptors.idempotency import once
from sutler.paging import fitting, page_size, parse_order_by

from services.erp import filters
from services.erp.ports import Query
from services.erp.servicer.gateway import Rpcs, connection_id
from services.erp.transactions.model import Transaction
from services.erp.wire import transactions as wire


class TransactionRpcs(Rpcs):
    """Transactions: those of several steps, and single writes whose outcome nobody can know."""

    async def RunTransaction(self, request: erp_pb2.RunTransactionRequest, context: Any) -> erp_pb2.Transaction:
        """See the contract."""
        link = await self.gateway.link(request.parent)
        done = await self.gateway.transactions.run(
            link, current().principal, wire.wish(request), once(wire.transaction)
        )
        return wire.planned(done) if request.validate_only else wire.transaction(done)

    async def GetTransaction(self, request: erp_pb2.GetTransactionRequest, context: Any) -> erp_pb2.Transaction:
        """See the contract."""
        return wire.transaction(await self.gateway.transactions.get(current().tenant, request.name))

    async def ListTransactions(
        self, request: erp_pb2.ListTransactionsRequest, context: Any
    ) -> erp_pb2.ListTransactionsResponse:
        """See the contract."""
        await self.gateway.link(request.parent)
        schema, size = filters.TRANSACTIONS, page_size(request)
        orders = parse_order_by(request.order_by, schema.orderable, filters.NEWEST_FIRST)
        query = Query(parse(request.filter, schema), orders, self.position("ListTransactions", request), size + 1)
        found = await self.gateway.journal.page(current().tenant, connection_id(request.parent), query)
        messages = [wire.transaction(Transaction(one), steps=False) for one in found[:size]]
        count = fitting(message.ByteSize() for message in messages)
        after = position(filters.transaction_fields(found[count - 1]), orders, schema) if count < len(found) else None
        return erp_pb2.ListTransactionsResponse(
            transactions=messages[:count], next_page_token=self.token("ListTransactions", request, after)
        )
