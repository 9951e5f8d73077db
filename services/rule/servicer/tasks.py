"""The RPCs about tasks."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.paging import fitting
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.rights import check_outcome
from services.rule.servicer.parts import Rpcs
from services.rule.tasks import Holding
from services.rule.wire.tasks import (
    completion_from,
    failing_from,
    pull_from,
    pulled_pb,
    task_pb,
    wait_of,
    whole_pb,
)
from services.rule.wire.times import given


class TaskRpcs(Rpcs):
    """RPCs about tasks."""

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.Task:
        return whole_pb(await self._parts.reading.task(current().tenant, request.name))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        queue = request.parent.removeprefix("queues/").removeprefix("-")
        query = self._parts.query("ListTasks", request)
        found = await self._parts.reading.tasks(current().tenant, queue, query)
        tasks, token = self._parts.page("ListTasks", request, found, [task_pb(task) for task in found.items])
        return pb.ListTasksResponse(tasks=tasks, next_page_token=token)

    async def PullTasks(self, request: pb.PullTasksRequest, context: Any) -> pb.PullTasksResponse:
        pulled = await self._parts.tasks.pull(pull_from(request, current().tenant), wait_of(request))
        messages = [pulled_pb(whole) for whole in pulled]
        count = fitting(message.ByteSize() for message in messages)
        await self._parts.tasks.give_back([whole.task for whole in pulled[count:]])
        return pb.PullTasksResponse(tasks=messages[:count])

    async def CompleteTask(self, request: pb.CompleteTaskRequest, context: Any) -> pb.Task:
        completion = completion_from(request)
        check_outcome(current().principal, completion.outcome)
        holding = Holding(request.name, request.lease_token)
        return task_pb(await self._parts.tasks.complete(current().tenant, holding, completion, once(task_pb)))

    async def ExtendTask(self, request: pb.ExtendTaskRequest, context: Any) -> pb.Task:
        holding = Holding(request.name, request.lease_token)
        seconds = given(request, "lease_duration")
        return task_pb(await self._parts.tasks.extend(current().tenant, holding, seconds, once(task_pb)))

    async def FailTask(self, request: pb.FailTaskRequest, context: Any) -> pb.Task:
        holding = Holding(request.name, request.lease_token)
        failing = failing_from(request)
        return task_pb(await self._parts.tasks.fail(current().tenant, holding, failing, once(task_pb)))
