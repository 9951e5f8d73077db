"""The RPCs about dead letters and breakers."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2 as lro
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.rule.v1 import rule_pb2 as pb
from sutler.type.v1.operation_pb2 import PlannedStep

from services.rule.breakers import Breaker
from services.rule.servicer.parts import Rpcs
from services.rule.wire.executions import breaker_pb, letter_fields
from services.rule.wire.letters import letter_pb
from services.rule.wire.operations import checked_only, plan_pb, purge_response


class FailureRpcs(Rpcs):
    """RPCs about dead letters and breakers."""

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Any) -> pb.DeadLetter:
        return letter_pb(await self._parts.reading.letter(current().tenant, request.name))

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Any) -> pb.ListDeadLettersResponse:
        found = await self._parts.reading.letters(current().tenant, self._parts.query("ListDeadLetters", request))
        messages = [letter_fields(letter) for letter in found.items]
        letters, token = self._parts.page("ListDeadLetters", request, found, messages)
        return pb.ListDeadLettersResponse(dead_letters=letters, next_page_token=token)

    async def ReplayDeadLetters(self, request: pb.ReplayDeadLettersRequest, context: Any) -> lro.Operation:
        call, replays = current(), self._parts.replays
        if request.validate_only:
            planned = await replays.plan_letters(call.tenant, request.filter)
            action = PlannedStep.ACTION_CREATE if request.restart else PlannedStep.ACTION_UPDATE
            plan = plan_pb(planned, action, "open dead letters")
            return checked_only(pb.ReplayDeadLettersResponse(execution_count=planned.count), "deadLetters", plan)
        operation = await replays.replay_letters(
            call.tenant,
            call.principal.actor,
            request.filter,
            once(to_pb),
            restart=request.restart,
            max_rate=request.max_rate,
        )
        return to_pb(operation)

    async def PurgeDeadLetters(self, request: pb.PurgeDeadLettersRequest, context: Any) -> lro.Operation:
        call, purges = current(), self._parts.purges
        if not request.force:
            return checked_only(purge_response(await purges.preview(call.tenant, request.filter)), "deadLetters")
        return to_pb(await purges.begin(call.tenant, call.principal.actor, request.filter, once(to_pb)))

    async def GetBreaker(self, request: pb.GetBreakerRequest, context: Any) -> pb.Breaker:
        return breaker_pb(*await self._parts.reading.breaker(current().tenant, request.name))

    async def ListBreakers(self, request: pb.ListBreakersRequest, context: Any) -> pb.ListBreakersResponse:
        found = await self._parts.reading.breakers(current().tenant, self._parts.query("ListBreakers", request))
        messages = [breaker_pb(*item) for item in found.items]
        breakers, token = self._parts.page("ListBreakers", request, found, messages)
        return pb.ListBreakersResponse(breakers=breakers, next_page_token=token)

    async def ResetBreaker(self, request: pb.ResetBreakerRequest, context: Any) -> pb.Breaker:
        def answer(found: tuple[Breaker, int]) -> pb.Breaker:
            return breaker_pb(*found)

        return answer(await self._parts.interventions.reset(current().tenant, request.name, once(answer)))
