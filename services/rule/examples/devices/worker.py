"""Devices report; their health follows from what has changed, and alarms follow from their health."""

import asyncio
import os

from sutler.client import connect, rules

devices = rules.Handlers("devices")


@devices.on("device.reported")
async def note(ctx: rules.Context) -> None:
    """Notes what a device reports."""
    await ctx.subject.set("temperature", ctx.payload["temperature"])
    await ctx.subject.set_ext("reports", lambda old: (old or 0) + 1)


@devices.on(rules.SUBJECT_PROPERTY_CHANGED, subject="device/*")
@devices.when('payload.property == "temperature"')
async def judge(ctx: rules.Context) -> None:
    """Says how a device is, whenever its temperature is another one."""
    await ctx.subject.set("health", "hot" if ctx.new_value > 80 else "good")


@devices.on(rules.SUBJECT_PROPERTY_CHANGED, subject="device/*")
@devices.when(lambda ctx: ctx.property_name == "health")
async def tell(ctx: rules.Context) -> None:
    """Raises and clears alarms."""
    if ctx.new_value == "hot":
        await ctx.emit("device.alarmed", {"temperature": await ctx.subject.get("temperature")})
    elif ctx.old_value == "hot":
        await ctx.emit("device.recovered")


async def main() -> None:
    """Runs the worker until it is told to stop."""
    address, token = os.environ.get("SUTLER_ADDRESS", "127.0.0.1:8080"), os.environ.get("SUTLER_TOKEN", "")
    async with connect(address, token=token) as s, rules.worker(s, devices) as worker:
        await worker.serve()


if __name__ == "__main__":
    asyncio.run(main())
