"""The RPCs about executions and cascades."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.cascades import below
from services.rule.servicer.parts import Rpcs
from services.rule.wire.events import cascade_pb
from services.rule.wire.executions import execution_pb


class ExecutionRpcs(Rpcs):
    """RPCs about executions and cascades."""

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.Execution:
        return execution_pb(await self._parts.reading.execution(current().tenant, request.name))

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Any) -> pb.ListExecutionsResponse:
        found = await self._parts.reading.executions(current().tenant, self._parts.query("ListExecutions", request))
        messages = [execution_pb(execution) for execution in found.items]
        executions, token = self._parts.page("ListExecutions", request, found, messages)
        return pb.ListExecutionsResponse(executions=executions, next_page_token=token)

    async def RetryExecution(self, request: pb.RetryExecutionRequest, context: Any) -> pb.Execution:
        execution = await self._parts.interventions.retry(
            current().tenant, request.name, once(execution_pb), restart=request.restart
        )
        return execution_pb(execution)

    async def GetCascade(self, request: pb.GetCascadeRequest, context: Any) -> pb.Cascade:
        full = request.view == pb.EVENT_VIEW_FULL
        name = request.name.removesuffix("/cascade")
        return cascade_pb(below(await self._parts.reading.tree(current().tenant, name, full=full)), full=full)
