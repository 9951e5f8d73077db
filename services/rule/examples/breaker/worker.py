"""A site that keeps failing is left alone for a second; what is ordered meanwhile waits for it, and is not lost."""

import asyncio
import os

from sutler.client import Sutler, connect, rules
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

PATIENT = pb.RetryPolicy(max_attempts=100, initial_backoff=duration(0.02), max_backoff=duration(0.05))
CAREFUL = pb.BreakerPolicy(max_failures=2, window=duration(300), open_duration=duration(1))


def handlers(s: Sutler) -> rules.Handlers:
    """Returns the handlers; ``s`` leads to the sites."""
    servers = rules.Handlers("servers")

    @servers.on("server.ordered", retry=PATIENT, breaker=CAREFUL)
    async def order(ctx: rules.Context) -> None:
        site = f"subscriptions/shop/resourceGroups/{ctx.subject.id}"
        await s.resources.GetResource(resource_pb2.GetResourceRequest(name=site))
        await ctx.subject.increment("servers")

    return servers


async def main() -> None:
    """Runs the worker until it is told to stop."""
    address, token = os.environ.get("SUTLER_ADDRESS", "127.0.0.1:8080"), os.environ.get("SUTLER_TOKEN", "")
    async with connect(address, token=token) as s, rules.worker(s, handlers(s)) as worker:
        await worker.serve()


if __name__ == "__main__":
    asyncio.run(main())
