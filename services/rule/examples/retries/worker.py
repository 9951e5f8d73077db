"""Three attempts, longer and longer apart; then the dead-letter list has it, and the subject tells of it."""

import asyncio
import os

from sutler.client import Sutler, connect, rules
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

THREE = pb.RetryPolicy(max_attempts=3, initial_backoff=duration(0.02), multiplier=2)


def handlers(s: Sutler) -> rules.Handlers:
    """Returns the handlers; ``s`` leads to the API."""
    calls = rules.Handlers("calls")

    @calls.on("api.requested", retry=THREE)
    async def call(ctx: rules.Context) -> None:
        await s.resources.GetResource(resource_pb2.GetResourceRequest(name=f"subscriptions/{ctx.payload['of']}"))
        await ctx.subject.set("state", "called")

    @calls.on(rules.HANDLER_FAILED)
    @calls.when('payload.original_event.type == "api.requested"')
    async def failed(ctx: rules.Context) -> None:
        await ctx.subject.set("state", "failed")
        await ctx.subject.set("dead_letter", ctx.payload["dead_letter"])
        await ctx.emit("api.call_failed", {"error": ctx.payload["error"]["reason"]})

    return calls


async def main() -> None:
    """Runs the worker until it is told to stop."""
    address, token = os.environ.get("SUTLER_ADDRESS", "127.0.0.1:8080"), os.environ.get("SUTLER_TOKEN", "")
    async with connect(address, token=token) as s, rules.worker(s, handlers(s)) as worker:
        await worker.serve()


if __name__ == "__main__":
    asyncio.run(main())
