"""How things look to callers: what the store needs to know of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sutler.errors import SutlerError

from services.provider.cost.bills import Bill
from services.provider.cost.prices import PriceTable
from services.provider.machines import Machine
from services.provider.providers import Provider
from services.provider.reconcile.findings import Inquiry, Progress
from services.provider.requests import MachineRequest
from services.provider.switches import SwitchResult
from services.provider.templates import Template


class Shapes(Protocol):
    """How things look to callers, in the contract's own form."""

    def size(self, item: Provider | Template | MachineRequest | Machine | PriceTable) -> int:
        """Returns how many bytes a thing takes in a message."""
        ...

    def machine_json(self, machine: Machine, bill: Bill) -> Mapping[str, Any]:
        """Returns a machine as JSON, as GetMachine returns it."""
        ...

    def request_json(self, request: MachineRequest) -> Mapping[str, Any]:
        """Returns a machine request as JSON, as GetMachineRequest returns it."""
        ...

    def request_response(self, request: MachineRequest) -> bytes:
        """Returns a machine request as the response of an operation: a serialised Any."""
        ...

    def status(self, error: SutlerError) -> bytes:
        """Returns an error as the end of an operation: a serialised Status."""
        ...

    def switch_response(self, method: str, results: Sequence[SwitchResult]) -> bytes:
        """Returns the results of a switch as the response of its operation: a serialised Any."""
        ...

    def reconciliation_response(self, inquiry: Inquiry, progress: Progress) -> bytes:
        """Returns what a reconciliation found as the response of its operation: a serialised Any."""
        ...
