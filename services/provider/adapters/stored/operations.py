"""The operations of machine requests, and of starting and stopping machines."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sutler.auth import encode_principal
from sutler.context import current
from sutler.errors import Cancelled, SutlerError
from sutler.ids import new_id
from sutler.operations import records
from sutler.operations.model import Operation, State
from sutler.store import Transaction

from services.provider.adapters.stored.shapes import Shapes
from services.provider.reconcile.findings import METHOD
from services.provider.requests import MachineRequest, RequestState
from services.provider.switches import START, STOP, Switch, SwitchResult


class StoredOperations:
    """The operations within one transaction; see :class:`services.provider.ports.Operations`."""

    def __init__(self, tx: Transaction, shapes: Shapes) -> None:
        self._tx = tx
        self._shapes = shapes

    def begin(self, request: MachineRequest, method: str) -> str:
        """Stores the operation of a new request and returns its name."""
        operation = Operation(
            name=f"providerOperations/{new_id()}",
            tenant=request.tenant,
            method=method,
            target=request.name,
            principal=will(request.tenant),
            creator=request.creator,
            correlation_id=request.correlation_id,
        )
        return records.insert(self._tx, operation).name

    def follow(self, request: MachineRequest, error: SutlerError | None) -> None:
        """Brings the operation of a request to where the request stands."""
        operation = records.get(self._tx, request.tenant, request.operation)
        if operation.state.ended:
            return
        done = 100 * request.fulfilled // request.count if request.count else 100
        changes: dict[str, Any] = {
            "progress": max(operation.progress, min(100, done)),
            "step": f"{request.fulfilled} of {request.count} machines",
        }
        state: State = operation.state if operation.state is State.CANCELLING else State.RUNNING
        if error is not None:
            state = State.CANCELLED if isinstance(error, Cancelled) else State.FAILED
            changes["error"] = self._shapes.status(error)
        elif request.state.ended:
            state = State.SUCCEEDED
            changes["response"] = self._shapes.request_response(request)
        elif request.state is RequestState.PENDING:
            return
        records.move(self._tx, operation.name, None, state, **changes)

    def cancelling(self, limit: int) -> Sequence[tuple[str, str]]:
        """Returns tenants and names of requests whose operations somebody asked to cancel."""
        rows = self._tx.all(
            "SELECT tenant, target FROM operations WHERE ended = 0 AND state = ? AND method NOT IN (?, ?, ?) LIMIT ?",
            (int(State.CANCELLING), START, STOP, METHOD, limit),
        )
        return [(tenant, target) for tenant, target in rows]

    def get(self, tenant: str, name: str) -> Operation:
        """Returns an operation; raises NotFound."""
        return records.get(self._tx, tenant, name)

    def begin_switch(self, switch: Switch, refused: Mapping[str, SutlerError]) -> Operation:
        """Stores the operation of a switch."""
        told = {name: base64.b64encode(self._shapes.status(error)).decode() for name, error in refused.items()}
        operation = Operation(
            name=f"providerOperations/{new_id()}",
            tenant=switch.tenant,
            method=switch.method,
            target=switch.names[0] if len(switch.names) == 1 else "machines",
            state=State.RUNNING,
            work={"names": list(switch.names), "refused": told},
            principal=will(switch.tenant),
            creator=switch.creator,
            correlation_id=switch.correlation_id,
        )
        return records.insert(self._tx, operation)

    def open_switches(self, limit: int) -> Sequence[Operation]:
        """Returns the operations of switches that have not ended."""
        rows = self._tx.all(
            f"SELECT {records.COLUMNS} FROM operations WHERE ended = 0 AND method IN (?, ?) LIMIT ?",
            (START, STOP, limit),
        )
        return [records.from_row(row) for row in rows]

    def end_switch(self, operation: Operation, results: Sequence[SwitchResult]) -> None:
        """Ends the operation of a switch."""
        response = self._shapes.switch_response(operation.method, results)
        records.move(self._tx, operation.name, None, State.SUCCEEDED, response=response, progress=100, step="")


def will(tenant: str) -> str:
    """Returns the one whose will is done, with grants, for what runs later in a tenant."""
    principal = current().principal
    return encode_principal(replace(principal.on_behalf_of or principal, tenant=tenant))
