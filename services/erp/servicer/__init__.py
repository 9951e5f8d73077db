"""ErpGateway as the contract has it: requests to the domain's calls, and their results to responses."""

from __future__ import annotations

from services.erp.servicer.aggregates import AggregateRpcs
from services.erp.servicer.batches import BatchRpcs
from services.erp.servicer.connections import ConnectionRpcs
from services.erp.servicer.customers import CustomerRpcs
from services.erp.servicer.models import ModelRpcs
from services.erp.servicer.records import RecordRpcs
from services.erp.servicer.statistics import StatisticsRpcs
from services.erp.servicer.subscriptions import SubscriptionRpcs
from services.erp.servicer.transactions import TransactionRpcs
from services.erp.servicer.transfers import TransferRpcs
from services.erp.servicer.writes import WriteRpcs


class ErpGatewayServicer(
    ConnectionRpcs,
    ModelRpcs,
    RecordRpcs,
    AggregateRpcs,
    WriteRpcs,
    SubscriptionRpcs,
    TransactionRpcs,
    CustomerRpcs,
    TransferRpcs,
    BatchRpcs,
    StatisticsRpcs,
):
    """All RPCs that this release offers; the server answers UNIMPLEMENTED for the others."""


__all__ = ["ErpGatewayServicer"]
