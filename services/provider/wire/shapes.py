"""How machines and requests look in events and operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from sutler.errors import SutlerError
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import to_status

from services.provider.cost.bills import UNPRICED, Bill
from services.provider.cost.prices import PriceTable
from services.provider.machines import Machine
from services.provider.providers import Provider
from services.provider.reconcile.findings import Inquiry, Progress
from services.provider.requests import MachineRequest
from services.provider.switches import START, SwitchResult
from services.provider.templates import Template
from services.provider.wire import machines, prices, providers, reconciliations, requests, templates
from services.provider.wire.machines import DOMAIN


class ContractShapes:
    """Things as the contract shows them; in JSON with the field names of the proto files.

    See :class:`services.provider.adapters.stored.shapes.Shapes`.
    """

    def size(self, item: Provider | Template | MachineRequest | Machine | PriceTable) -> int:
        """Returns how many bytes a thing takes in a message."""
        match item:
            case Provider():
                return providers.to_message(item, None).ByteSize()
            case Template():
                return templates.to_message(item).ByteSize()
            case MachineRequest():
                return requests.to_message(item).ByteSize()
            case Machine():
                return machines.to_message(item, UNPRICED).ByteSize()
            case PriceTable():
                return prices.to_message(item).ByteSize()

    def machine_json(self, machine: Machine, bill: Bill) -> Mapping[str, Any]:
        """Returns a machine as JSON."""
        return MessageToDict(machines.to_message(machine, bill), preserving_proto_field_name=True)

    def request_json(self, request: MachineRequest) -> Mapping[str, Any]:
        """Returns a machine request as JSON."""
        return MessageToDict(requests.to_message(request), preserving_proto_field_name=True)

    def request_response(self, request: MachineRequest) -> bytes:
        """Returns a machine request as a serialised Any."""
        return requests.packed(request)

    def status(self, error: SutlerError) -> bytes:
        """Returns an error as a serialised Status."""
        return to_status(error, DOMAIN).SerializeToString()

    def switch_response(self, method: str, results: Sequence[SwitchResult]) -> bytes:
        """Returns the results of a switch as a serialised Any."""
        shown = [machines.result_message(result) for result in results]
        packed = AnyMessage()
        packed.Pack(
            pb.StartMachinesResponse(results=shown) if method == START else pb.StopMachinesResponse(results=shown)
        )
        return packed.SerializeToString()

    def reconciliation_response(self, inquiry: Inquiry, progress: Progress) -> bytes:
        """Returns what a reconciliation found as a serialised Any."""
        packed = AnyMessage()
        packed.Pack(reconciliations.to_message(inquiry, progress))
        return packed.SerializeToString()
