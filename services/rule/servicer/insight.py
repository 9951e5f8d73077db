"""The RPCs that tell what rules would do."""

from __future__ import annotations

import asyncio
from typing import Any

from sutler.context import current
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.analyzing import analyze
from services.rule.casting import compiled_drafts, with_drafts
from services.rule.servicer.parts import Rpcs, author, cause
from services.rule.wire.graphs import analysis_pb
from services.rule.wire.simulations import drafts_from, simulated_pb, supposition_from


class InsightRpcs(Rpcs):
    """RPCs that tell what rules would do."""

    async def AnalyzeRules(self, request: pb.AnalyzeRulesRequest, context: Any) -> pb.AnalyzeRulesResponse:
        tenant = current().tenant
        drafts = drafts_from(request.drafts, tenant)
        compiled_drafts(drafts)
        stored, types = await self._parts.scene.survey(tenant, request.filter)
        rules = with_drafts(stored, drafts)

        def work() -> pb.AnalyzeRulesResponse:
            return analysis_pb(analyze(rules, {*types, *request.event_types}), request.format)

        return await asyncio.to_thread(work)

    async def SimulateEvent(self, request: pb.SimulateEventRequest, context: Any) -> pb.SimulateEventResponse:
        tenant = current().tenant
        supposition = supposition_from(request, tenant, self._parts.database.now())
        simulated = await self._parts.simulator.run(tenant, author(), supposition, cause())
        return await asyncio.to_thread(simulated_pb, simulated)
