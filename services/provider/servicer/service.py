"""ProviderService: all of its RPCs."""

from __future__ import annotations

from sutler.operations.servicer import OperationBook, OperationsServicer

from services.provider.servicer.machines import MachineRpcs
from services.provider.servicer.parts import Parts
from services.provider.servicer.prices import PriceRpcs
from services.provider.servicer.providers import ProviderRpcs
from services.provider.servicer.requests import RequestRpcs
from services.provider.servicer.templates import TemplateRpcs
from services.provider.servicer.usage import UsageRpcs


class ProviderServicer(ProviderRpcs, TemplateRpcs, RequestRpcs, MachineRpcs, PriceRpcs, UsageRpcs, OperationsServicer):
    """What ProviderService offers so far; the server answers UNIMPLEMENTED for the rest.

    Args:
        parts: What the RPCs work with.
        book: Where operations are.
    """

    def __init__(self, parts: Parts, book: OperationBook) -> None:
        super().__init__(book)
        self._parts = parts
