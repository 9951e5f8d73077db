"""Who works with services that are killed, as if nothing had happened.

A caller repeats a call that was not answered, and keeps a ledger of what was. It lives one life after the other, each
with a customer of its own, whose facts tell in the end what the rules have done for it, how often and in which order.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from sutler.client import Sutler
from sutler.errors import Conflict, DeadlineExceeded, NotFound
from sutler.errors import Unavailable as Away
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import create, emit, event

STUCK_SECONDS = 120.0
"""After how long what has not ended counts as stuck."""


def append(property: str, value: str) -> dict[str, Any]:
    """An action that adds a value to a list, so that the list shows how often and in which order it was done."""
    expression = f"old == null ? [{value}] : old + [{value}]"
    return {"setProperty": {"property": property, "expression": expression, "muted": True}}


def plus_one(property: str, **fields: Any) -> dict[str, Any]:
    return {"setProperty": {"property": property, "expression": "old == null ? 1 : old + 1", **fields}}


NUMBER = {"n": "${payload.n}"}
PLACED = {"on": ["order.placed"], "subject": "customer/*"}
RULES: dict[str, dict[str, Any]] = {
    "count": {**PLACED, "actions": [plus_one("orders"), emit("order.counted", data=NUMBER)]},
    "see": {**PLACED, "actions": [append("seen", "payload.n")]},
    "call": {
        **PLACED,
        # Its request depends on a fact that changes all the time: the same key must mean the same request for ever.
        "actions": [
            create(
                "${payload.id}", resource={"type": "Custom.Org/things", "properties": {"seen": "${subject.revision}"}}
            ),
            append("called", "payload.n"),
        ],
    },
    "work": {**PLACED, "actions": [{"worker": {"queue": "q", "data": NUMBER}}, append("worked", "payload.n")]},
    "split": {"on": ["order.counted"], "actions": [emit("order.leaf"), emit("order.leaf")]},
    "leaf": {"on": ["order.leaf"], "actions": [plus_one("leaves", muted=True)]},
    "ship": {"on": ["order.shipped"], "actions": [append("shipped", "payload.n")]},
    "tell": {
        "on": ["subject.property.changed"],
        "when": ["payload.property == 'visits'"],
        "actions": [append("told", "payload.new_value")],
    },
}
COMMON = {
    "retry": {"maxAttempts": 100, "initialBackoff": "0.01s", "maxBackoff": "0.1s"},
    "breaker": {"disabled": True},
}


def order_id(customer: str, number: int) -> str:
    """Under which id an order asks for a resource."""
    return f"{customer.replace('/', '-')}-{number}"


def facts(orders: int, visits: int) -> dict[str, Any]:
    """What must be there of a customer, beside what the workers say of themselves."""
    each = list(range(orders))
    lists = dict.fromkeys(("seen", "called", "done", "worked", "shipped"), each) if orders else {}
    numbers = {"orders": orders, "leaves": 2 * orders} if orders else {}
    return (
        {**lists, **numbers, "visits": visits, "told": list(range(1, visits + 1))} if visits else {**lists, **numbers}
    )


@dataclass(frozen=True)
class Replicas:
    """Connections to all processes; an unanswered call goes to any of them."""

    connections: Sequence[Sutler]
    dice: random.Random

    async def patiently(self, method: str, request: Any) -> Any:
        """Makes a call until it is answered."""
        while True:
            try:
                return await getattr(self.dice.choice(self.connections).rules, method)(request, timeout=5)
            except (Away, DeadlineExceeded):
                await asyncio.sleep(0.05)

    async def properties(self, customer: str) -> dict[str, Any]:
        """The properties of a customer; none if there is no such subject."""
        try:
            subject = await self.patiently("GetSubject", pb.GetSubjectRequest(name=f"subjects/{customer}"))
        except NotFound:
            return {}
        return json_format.MessageToDict(subject.properties)


@dataclass
class Caller:
    """Publishes orders and writes facts.

    Attributes:
        orders: How many orders of each customer were accepted.
        visits: How many visits of each customer were answered.
    """

    number: int
    dice: random.Random
    replicas: Replicas
    orders: dict[str, int] = field(default_factory=dict)
    visits: dict[str, int] = field(default_factory=dict)

    async def work(self, stop: asyncio.Event) -> None:
        """Works until it is told to stop, and then ends what it has begun."""
        while not stop.is_set():
            await self._live(f"customer/{self.number}-{len(self.orders)}")

    async def _live(self, customer: str) -> None:
        self.orders[customer] = self.visits[customer] = 0
        for _ in range(self.dice.randint(3, 10)):
            await (self._visit if self.dice.random() < 0.3 else self._order)(customer)
            await asyncio.sleep(self.dice.choice([0, 0, 0.05]))
        await self.settled(customer)

    async def _order(self, customer: str) -> None:
        """Publishes some orders at once, in order."""
        first = self.orders[customer]
        numbers = range(first, first + self.dice.randint(1, 3))
        events = [
            event(f"{customer}/{n}", "order.placed", customer, {"n": n, "id": order_id(customer, n)}) for n in numbers
        ]
        request = pb.BatchPublishEventsRequest(events=events, wait=self.dice.random() < 0.2)
        request.wait_timeout.FromSeconds(2)
        if self.dice.random() < 0.5:
            request.request_id = self._id()
        answer = await self.replicas.patiently("BatchPublishEvents", request)
        assert [result.status.code for result in answer.results] == [0] * len(events), answer
        for result in answer.results:
            if result.complete:
                cascade = await self.replicas.patiently(
                    "GetCascade", pb.GetCascadeRequest(name=f"{result.event}/cascade")
                )
                assert cascade.state == pb.Cascade.STATE_SUCCEEDED, cascade
        self.orders[customer] += len(events)

    async def _visit(self, customer: str) -> None:
        writes = [pb.PropertyWrite(property="visits", increment=1)]
        request = pb.UpdateSubjectRequest(
            subject=pb.Subject(name=f"subjects/{customer}"), writes=writes, allow_missing=True, request_id=self._id()
        )
        answer = await self.replicas.patiently("UpdateSubject", request)
        self.visits[customer] += 1
        assert answer.properties["visits"] == self.visits[customer]

    def _id(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    async def settled(self, customer: str) -> None:
        """Waits until all that was accepted for a customer has been done, and nothing twice."""
        expected, found = facts(self.orders[customer], self.visits[customer]), {}
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                while found != expected:
                    await asyncio.sleep(0.05)
                    found = await self.found(customer)
        except TimeoutError:
            raise AssertionError(f"{customer} is {found}, not {expected}") from None

    async def found(self, customer: str) -> dict[str, Any]:
        """The facts of a customer, without what the workers say of themselves."""
        values = await self.replicas.properties(customer)
        return {key: value for key, value in values.items() if not key.startswith("by-")}


@dataclass
class Worker:
    """Pulls tasks and completes them: in time, late, or never.

    Attributes:
        kept: Which mark of its own a completion left, of those that were answered: customer and property to mark.
        refused: Marks of completions that were refused, because the lease was lost.
        late: Tasks that were completed although another worker had pulled them again.
        newest: How often each task was pulled, as far as any worker knows.
    """

    number: int
    dice: random.Random
    replicas: Replicas
    newest: dict[str, int]
    late: list[str] = field(default_factory=list)
    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    pulled: int = 0

    async def work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            request = pb.PullTasksRequest(parent="queues/q", max_tasks=3, worker_id=f"w{self.number}")
            request.wait_timeout.FromSeconds(1)
            request.lease_duration.FromSeconds(2)
            tasks = (await self.replicas.patiently("PullTasks", request)).tasks
            for task in tasks:
                self.newest[task.name] = max(task.pull_count, self.newest.get(task.name, 0))
            for task in tasks:
                await self._do(task)

    async def _do(self, task: pb.Task) -> None:
        self.pulled += 1
        chance = self.dice.random()
        if chance < 0.05:
            return
        if chance < 0.15:
            await asyncio.sleep(self.dice.uniform(1.5, 3.5))  # how slow it is, not a wait
        number, mark = int(task.data.struct_value["n"]), f"w{self.number}-{self.pulled}"
        by = f"by-{number}"
        request = pb.CompleteTaskRequest(name=task.name, lease_token=task.lease_token)
        update = request.updates.add(subject=task.subject, muted=True)
        update.writes.add(property="done", expression=append("", str(number))["setProperty"]["expression"])
        update.writes.add(property=by).value.string_value = mark
        request.events.add(type="order.shipped").data.struct_value.update({"n": number})
        late = self.newest[task.name] > task.pull_count
        try:
            await self.replicas.patiently("CompleteTask", request)
        except Conflict as error:
            if error.reason != "LEASE_LOST":
                raise
            self.refused.add(mark)
        else:
            self.late += [task.name] if late else []
            self.kept[task.subject.removeprefix("subjects/"), by] = mark
