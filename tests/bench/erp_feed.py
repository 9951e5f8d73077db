"""The change feed's part of ``make bench-erp``: how soon a change is an event, and whether each is one."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from statistics import median

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.rule.v1 import rule_pb2
from sutler.testing import wait_until

from tests.bench.erp_load import PARTNER, crowd
from tests.bench.erp_serving import MAIN, Erp, Running, erp, services, small
from tests.bench.harness import Line

POLL = 1.0
CHANGES = 20
MOST_SECONDS = 15.0


async def feed(folder: Path) -> list[Line]:
    """Changes records in the ERP itself, one by one and many in one transaction."""
    many = small(10_000)
    with erp("--partners", str(many)) as server:
        async with services(folder, server.url, poll_interval_seconds=POLL) as running:
            ids = crowd(server, many)
            await subscribed(running)
            times = [await delay(running, server, ids[number], number) for number in range(CHANGES)]
            start = time.time()
            await asyncio.to_thread(server.call, PARTNER, "write", ids, {"color": 9})
            written = time.time()
            found = await events(running.rules, 'type = "partner.updated"', many + CHANGES, 300)
    told = [event for event in found if event.create_time.ToNanoseconds() / 1e9 > start]
    took = max(event.create_time.ToNanoseconds() for event in told) / 1e9 - written
    beside = f"of {CHANGES}, the longest; the median is {median(times):.2f} s"
    return [
        Line("a change is an event in RuleService after", max(times), POLL + 0.2, beside, " s", at_most=True),
        Line(f"told of {many:,} changes in one transaction", len({one.subject for one in told}), many, "each"),
        Line("all of them are events after", took, MOST_SECONDS, "up to 100,000 a second", " s", at_most=True),
        Line("events of them", len(told), many, "none is told twice", at_most=True),
    ]


async def subscribed(running: Running) -> None:
    """Subscribes to customers, and waits until the baseline is taken."""
    name = f"{MAIN}/subscriptions/customers"
    wanted = pb.Subscription(model=PARTNER, fields=["name", "color"], max_event_rate=100_000)
    request = pb.CreateSubscriptionRequest(parent=MAIN, subscription_id="customers", subscription=wanted)
    await running.s.erp.CreateSubscription(request)

    async def active() -> bool:
        found = await running.s.erp.GetSubscription(pb.GetSubscriptionRequest(name=name))
        return found.state == pb.Subscription.STATE_ACTIVE

    await wait_until(active, 120)


async def delay(running: Running, server: Erp, record: int, seed: int) -> float:
    """Returns how many seconds after the ERP answered a write its event was in RuleService."""
    await asyncio.sleep(random.Random(seed).uniform(0, POLL))
    await asyncio.to_thread(server.call, PARTNER, "write", [record], {"color": 7})
    written = time.time()
    [event] = await events(running.rules, f'subject = "{MAIN}/{PARTNER}/{record}"', 1, 30)
    return float(event.create_time.ToNanoseconds() / 1e9 - written)


async def events(rules: Sutler, wanted: str, count: int, seconds: float) -> list[rule_pb2.Event]:
    """Returns the events that a filter selects, when there are at least so many and for half a second no more."""
    found = list[rule_pb2.Event]()

    async def there() -> bool:
        before = len(found)
        request = rule_pb2.ListEventsRequest(filter=wanted, page_size=1000)
        found.clear()
        while True:
            page = await rules.rules.ListEvents(request)
            found.extend(page.events)
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        if before == len(found) >= count:
            return True
        await asyncio.sleep(0.5 if len(found) >= count else 0.1)
        return False

    await wait_until(there, seconds)
    return found
