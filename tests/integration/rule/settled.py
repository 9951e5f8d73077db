"""What must be there after services were killed: all that was accepted, everything once, nothing stuck."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sutler.rule.v1 import rule_pb2 as pb
from sutler.testing import wait_until

from tests.integration.rule.killing import Counting
from tests.integration.rule.lives import STUCK_SECONDS, Caller, Replicas, Worker, order_id


async def check(callers: list[Caller], workers: list[Worker], target: Counting) -> None:
    """All that was accepted is done, once and in order; late holders changed nothing; nothing is stuck."""
    replicas = callers[0].replicas
    orders = {customer: count for caller in callers for customer, count in caller.orders.items()}
    visits = sum(count for caller in callers for count in caller.visits.values())
    placed = sum(orders.values())

    async def quiet() -> bool:
        executions = await everything(replicas, "executions")
        return all(found.HasField("end_time") for found in executions)

    await wait_until(quiet, STUCK_SECONDS)
    for caller in callers:
        for customer in caller.orders:
            await caller.settled(customer)
    events, executions = await everything(replicas, "events"), await everything(replicas, "executions")
    assert Counter(found.type for found in events) == +Counter(
        {
            "order.placed": placed,
            "order.counted": placed,
            "order.leaf": 2 * placed,
            "order.shipped": placed,
            "subject.property.changed": placed + visits,
        }
    )
    assert {found.state for found in events} <= {pb.Event.STATE_SUCCEEDED}
    assert all(found.HasField("cascade_end_time") for found in events)
    assert {found.id for found in events if found.type == "order.placed"} == {
        f"{customer}/{n}" for customer, count in orders.items() for n in range(count)
    }
    states = Counter((found.rule.removeprefix("rules/"), pb.Execution.State.Name(found.state)) for found in executions)
    done = {"count": 1, "see": 1, "call": 1, "work": 1, "split": 1, "leaf": 2, "ship": 1}
    assert states == +Counter(
        {
            **{(id, "STATE_SUCCEEDED"): times * placed for id, times in done.items()},
            ("tell", "STATE_SUCCEEDED"): visits,
            ("tell", "STATE_SKIPPED"): placed,
        }
    )
    assert not (await replicas.patiently("ListDeadLetters", pb.ListDeadLettersRequest())).dead_letters
    tasks = await everything(replicas, "tasks")
    assert [found.state for found in tasks] == [pb.Task.STATE_SUCCEEDED] * placed
    check_calls(target, orders)
    await check_marks(replicas, workers, orders)
    print(f"{placed} orders, {visits} visits, {len(executions)} executions, {target.calls} calls")


def check_calls(target: Counting, orders: dict[str, int]) -> None:
    """Each order was asked for under one key with one request, and those of a customer in their order."""
    assert target.reused == []
    asked = [request.resource_id for request in target.effects.values()]
    assert len(asked) == len(set(asked)) == sum(orders.values())
    place = {id: index for index, id in enumerate(asked)}
    for customer, count in orders.items():
        places = [place[order_id(customer, n)] for n in range(count)]
        assert places == sorted(places), customer


async def check_marks(replicas: Replicas, workers: list[Worker], orders: dict[str, int]) -> None:
    """The marks there are those of completions that were answered; a worker that was too late left none."""
    assert [name for worker in workers for name in worker.late] == []
    kept = {key: mark for worker in workers for key, mark in worker.kept.items()}
    refused = set[str]().union(*(worker.refused for worker in workers))
    for customer, count in orders.items():
        found = await replicas.properties(customer)
        for number in range(count):
            mark = found[f"by-{number}"]
            assert mark == kept[customer, f"by-{number}"]
            assert mark not in refused
    print(f"{sum(worker.pulled for worker in workers)} pulled, {len(kept)} completed, {len(refused)} refused")


async def everything(replicas: Replicas, field: str) -> list[Any]:
    """Lists all events, executions or tasks."""
    method = f"List{field.capitalize()}"
    request = getattr(pb, f"{method}Request")(page_size=1000)
    if field == "tasks":
        request.parent = "queues/q"
    found: list[Any] = []
    while True:
        answer = await replicas.patiently(method, request)
        found += getattr(answer, field)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token
