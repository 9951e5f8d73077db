"""An order on its way: submitted, validated, paid or declined, shipped. Each step knows the next event only."""

import asyncio
import os

from sutler.client import connect, rules

orders = rules.Handlers("orders")


@orders.on("order.submitted")
@orders.when("payload.total > 0")
async def validate(ctx: rules.Context) -> None:
    """Lets an order in."""
    await ctx.subject.set("state", "validated")
    await ctx.emit("order.validated", ctx.payload)


@orders.on("order.validated")
async def pay(ctx: rules.Context) -> None:
    """Takes the money, up to a limit."""
    if ctx.payload["total"] > 1000:
        await ctx.subject.set("state", "declined")
        await ctx.emit("payment.declined", ctx.payload)
        return
    await ctx.subject.set("state", "paid")
    await ctx.subject_of("till").increment("turnover", ctx.payload["total"])
    await ctx.emit("payment.completed", ctx.payload)


@orders.on("payment.completed")
async def ship(ctx: rules.Context) -> None:
    """Sends it off."""
    await ctx.subject.set("state", "shipped")
    await ctx.emit("order.shipped", ctx.payload)


async def main() -> None:
    """Runs the worker until it is told to stop."""
    address, token = os.environ.get("SUTLER_ADDRESS", "127.0.0.1:8080"), os.environ.get("SUTLER_TOKEN", "")
    orders.middleware(rules.middleware.logging())
    async with connect(address, token=token) as s, rules.worker(s, orders) as worker:
        await worker.serve()


if __name__ == "__main__":
    asyncio.run(main())
