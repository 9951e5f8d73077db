"""The RPCs that follow events and subjects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from google.protobuf.message import Message
from sutler.context import current
from sutler.filtering import parse
from sutler.rule.v1 import rule_pb2 as pb
from sutler.tails import Log
from sutler.watch import with_final_status

from services.rule.adapters.database import schemas
from services.rule.adapters.database.event_flow import EventFlow
from services.rule.adapters.database.subject_log import SubjectLog
from services.rule.adapters.database.watched import Told
from services.rule.servicer.parts import Rpcs
from services.rule.wire.watches import event_change_pb, subject_change_pb

MAX_CHANGES = 1000
"""How many changes one message holds."""


class WatchRpcs(Rpcs):
    """RPCs that follow events and subjects."""

    def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.WatchEventsResponse]:
        return with_final_status("rule", self._events(request), lambda status: pb.WatchEventsResponse(status=status))

    def WatchSubjects(self, request: pb.WatchSubjectsRequest, context: Any) -> AsyncIterator[pb.WatchSubjectsResponse]:
        return with_final_status(
            "rule", self._subjects(request), lambda status: pb.WatchSubjectsResponse(status=status)
        )

    async def _events(self, request: pb.WatchEventsRequest) -> AsyncIterator[pb.WatchEventsResponse]:
        parse(request.filter, schemas.EVENTS)
        tenant, full = current().tenant, request.view == pb.EVENT_VIEW_FULL
        make = partial(event_change_pb, full=full)
        flow = EventFlow(self._parts.database, tenant, request.filter, request.executions, full, make)
        name = f"events\0{tenant}\0{request.executions}\0{request.filter}"
        async for changes, token in self._follow(flow, name, request.resume_token):
            yield pb.WatchEventsResponse(changes=changes, resume_token=token)

    async def _subjects(self, request: pb.WatchSubjectsRequest) -> AsyncIterator[pb.WatchSubjectsResponse]:
        parse(request.filter, schemas.SUBJECTS)
        tenant, properties = current().tenant, tuple(sorted(set(request.properties)))
        make = partial(subject_change_pb, properties=properties)
        log = SubjectLog(self._parts.database, tenant, request.filter, properties, make)
        name = f"subjects\0{tenant}\0{request.filter}"
        async for changes, token in self._follow(log, name, request.resume_token):
            yield pb.WatchSubjectsResponse(changes=changes, resume_token=token)

    async def _follow(self, log: Log[Told], name: str, resume_token: str) -> AsyncIterator[tuple[list[Any], str]]:
        """Yields what messages hold: changes, and the token after them."""
        watcher = self._parts.watcher
        batches = watcher.watch(
            log,
            self._parts.database.changes,
            name=name,
            resume_token=resume_token,
            see=lambda told: told if told.messages else None,
        )
        async for batch in batches:
            changes: list[Message] = []
            last = 0
            for told in batch.changes:
                if len(changes) + len(told.messages) > MAX_CHANGES:
                    yield changes, watcher.token(name, last)
                    changes = []
                changes += told.messages
                last = told.number
            yield changes, batch.resume_token
