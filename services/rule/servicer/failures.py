"""The RPCs about dead letters and breakers."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.breakers import Breaker
from services.rule.servicer.parts import Rpcs
from services.rule.wire.executions import breaker_pb, letter_fields
from services.rule.wire.letters import letter_pb


class FailureRpcs(Rpcs):
    """RPCs about dead letters and breakers."""

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Any) -> pb.DeadLetter:
        return letter_pb(await self._parts.reading.letter(current().tenant, request.name))

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Any) -> pb.ListDeadLettersResponse:
        found = await self._parts.reading.letters(current().tenant, self._parts.query("ListDeadLetters", request))
        messages = [letter_fields(letter) for letter in found.items]
        letters, token = self._parts.page("ListDeadLetters", request, found, messages)
        return pb.ListDeadLettersResponse(dead_letters=letters, next_page_token=token)

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
