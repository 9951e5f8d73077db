"""Plays the demonstration: confirmed orders become machines and a note in the ERP, are scaled, and give them back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from sutler.client import connect

from deploy.local import manager
from deploy.local.demo import checking, display
from deploy.local.demo.following import Follower, Progress
from deploy.local.demo.killing import Killer
from deploy.local.demo.orders import Salesperson
from deploy.local.layout import ROOT, Layout, Ports
from deploy.local.manager import StackError
from deploy.local.ready import wait_ready

SAMPLE = Path(__file__).parent
CALM_SECONDS, KILL_SECONDS = 60.0, 240.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What is played.

    Attributes:
        layout: The stack's files.
        ports: The stack's ports.
        orders: How many orders are confirmed.
        kill: Whether parts are killed meanwhile.
        kills: How many are killed; 0 is one every second until all is delivered.
        seed: Of the killing.
        console: Where it is shown.
    """

    layout: Layout
    ports: Ports
    orders: int
    kill: bool
    kills: int
    seed: int
    console: Console

    async def play(self) -> None:
        """Plays it.

        Raises:
            StackError: If a step fails; the text says which and why.
        """
        self._title("1. The stack")
        manager.start(self.layout, self.ports)
        await wait_ready(self.layout, self.ports, told=lambda name: self.console.print(f"  [green]up[/] {name}"))
        self._title("2. What is declared")
        self._apply()
        erp = Salesperson(f"http://127.0.0.1:{self.ports.sandbox}")
        address = f"127.0.0.1:{self.ports.gateway}"
        async with connect(address, timeout=5.0) as client:
            follower = Follower(client, erp)
            self._title(f"3. {self.orders} orders are confirmed in the ERP")
            orders = await self._confirm(erp)
            async with self._killing():
                await self._deliver(follower, orders)
            await wait_ready(self.layout, self.ports)
            self._check(orders)
            await self._show(follower, orders)
            first = orders[0]
            self._title(f"4. {first.order.name} is scaled up, then down, through its resource")
            for count in (first.order.machines + 2, 1):
                await self._scale(follower, first, count)
            self._title(f"5. {first.order.name} is cancelled in the ERP")
            await self._cancel(follower, erp, first)
        await erp.close()
        display.next_steps(self.console, address, orders[-1])

    def _title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]")

    def _apply(self) -> None:
        folder = self.layout.state / "demo"
        folder.mkdir(exist_ok=True)
        for file in sorted(SAMPLE.glob("*.yaml")):
            text = file.read_text()
            for default, port in ((8069, self.ports.sandbox), (50055, self.ports.of("provider"))):
                text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
            (folder / file.name).write_text(text)
        self.console.print("  sutler apply -f deploy/local/demo", style="dim")
        sutler = [sys.executable, "-c", "from sutler.cli import main; main()"]
        command = [*sutler, "--address", f"127.0.0.1:{self.ports.gateway}", "apply", "-f", str(folder), "--yes"]
        if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
            raise StackError("the sample could not be applied")

    async def _confirm(self, erp: Salesperson) -> list[Progress]:
        sizes = random.Random(self.seed)
        written = [await erp.write_order(sizes.randint(1, 4)) for _ in range(self.orders)]
        orders = []
        for order in written:
            await erp.confirm(order)
            orders.append(Progress(order, time.monotonic()))
        return orders

    @contextlib.asynccontextmanager
    async def _killing(self) -> AsyncIterator[None]:
        if not self.kill:
            yield
            return
        self.console.print(f"  every second a random part is killed (seed {self.seed})")
        killer = Killer(self.layout, self.seed, self.kills)
        task = asyncio.create_task(killer.run())
        try:
            yield
        finally:
            task.cancel()
            told = ", ".join(f"{name} {count}×" for name, count in sorted(killer.killed.items()))
            self.console.print(f"  killed: {told}")

    async def _deliver(self, follower: Follower, orders: list[Progress]) -> None:
        with display.live_orders(self.console, orders) as shown:
            done = await follower.until(
                lambda: all(progress.complete for progress in orders),
                orders,
                shown,
                KILL_SECONDS if self.kill else CALM_SECONDS,
            )
        if not done:
            late = ", ".join(progress.order.name for progress in orders if not progress.complete)
            raise StackError(f"not delivered in time: {late}; `sutler get executions` and .sutler/logs tell more")
        self.console.print(f"  {display.summary(orders)}")

    def _check(self, orders: list[Progress]) -> None:
        for progress in orders:
            missing = checking.dead(progress)
            if missing:
                raise StackError(f"{progress.order.name}: no process runs for {', '.join(missing)}")
            unnamed = [name for name in progress.machines if name not in progress.note]
            if unnamed:
                raise StackError(f"{progress.order.name}: its note does not name {', '.join(unnamed)}")
        twice = checking.double_reports(self.layout.sandbox_log, orders)
        if twice:
            raise StackError(f"two different reports were written to: {', '.join(twice)}")

    async def _show(self, follower: Follower, orders: list[Progress]) -> None:
        if self.kill:
            return
        for progress in orders:
            self.console.print(display.cascade_tree(progress, await follower.cascade(progress.event)))
        self.console.print(display.machines_table(orders))
        self.console.print(f"In the ERP, {orders[0].order.name} now has the note: {orders[0].note}", markup=False)

    async def _scale(self, follower: Follower, progress: Progress, count: int) -> None:
        before = set(progress.machines)
        started = time.monotonic()
        await follower.scale(progress, count)
        if not await follower.until(lambda: progress.has(count), [progress], lambda: None, CALM_SECONDS):
            raise StackError(f"{progress.order.name} has {len(progress.machines)} machines, or its note names others")
        if not (before <= set(progress.machines) or before >= set(progress.machines)):
            raise StackError(f"{progress.order.name} was given other machines instead of some more or fewer")
        dead = checking.dead(progress)
        if dead:
            raise StackError(f"{progress.order.name}: no process runs for {', '.join(dead)}")
        self.console.print(f"  it has {count}, and the ERP knows, after {time.monotonic() - started:.2f} s")

    async def _cancel(self, follower: Follower, erp: Salesperson, progress: Progress) -> None:
        await erp.cancel(progress.order)
        started = time.monotonic()
        left = await checking.left_running(progress, follower.running, CALM_SECONDS)
        if left:
            raise StackError(
                f"{progress.order.name}: {', '.join(left)} still run {CALM_SECONDS:.0f} s after it was cancelled"
            )
        self.console.print(f"  all its machines are gone after {time.monotonic() - started:.2f} s")
