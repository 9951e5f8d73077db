"""The RPCs about subjects."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_struct

from services.rule.servicer.parts import Rpcs, cause
from services.rule.subject_updates import Deleting, Updated, Updating
from services.rule.wire.subjects import holding_of, merge_of, subject_id, subject_pb, write_from
from services.rule.writing import compile_writes


class SubjectRpcs(Rpcs):
    """RPCs about subjects."""

    async def GetSubject(self, request: pb.GetSubjectRequest, context: Any) -> pb.Subject:
        subject = await self._parts.subject_store.get(current().tenant, subject_id(request.name))
        return subject_pb(subject, request.properties)

    async def ListSubjects(self, request: pb.ListSubjectsRequest, context: Any) -> pb.ListSubjectsResponse:
        found = await self._parts.reading.subjects(current().tenant, self._parts.query("ListSubjects", request))
        messages = [subject_pb(subject, request.properties) for subject in found.items]
        subjects, token = self._parts.page("ListSubjects", request, found, messages)
        return pb.ListSubjectsResponse(subjects=subjects, next_page_token=token)

    async def UpdateSubject(self, request: pb.UpdateSubjectRequest, context: Any) -> pb.Subject:
        writes = tuple(write_from(write) for write in request.writes)
        updating = Updating(
            current().tenant,
            subject_id(request.subject.name),
            cause(),
            merge_of(request.subject, request.update_mask if request.HasField("update_mask") else None),
            writes,
            compile_writes(writes),
            request.subject.etag,
            request.expected_revision if request.HasField("expected_revision") else None,
            request.allow_missing,
            request.muted,
            from_struct(request.extra),
            holding_of(request),
        )

        def answer(updated: Updated) -> pb.Subject:
            return subject_pb(updated.subject, request.properties, updated.changes)

        return answer(await self._parts.subjects.update(updating, once(answer), dry=request.validate_only))

    async def DeleteSubject(self, request: pb.DeleteSubjectRequest, context: Any) -> Empty:
        deleting = Deleting(
            current().tenant,
            subject_id(request.name),
            cause(),
            request.etag,
            request.muted,
            from_struct(request.extra),
        )
        await self._parts.subjects.delete(
            deleting, once(lambda _: Empty()), allow_missing=request.allow_missing, dry=request.validate_only
        )
        return Empty()
