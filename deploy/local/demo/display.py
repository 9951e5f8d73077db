"""Draws the demonstration in the terminal."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.tree import Tree
from sutler.rule.v1 import rule_pb2
from sutler.wire import seconds

from deploy.local.demo.following import Progress
from deploy.local.programs import typed

STATES = {"SUCCEEDED": "green", "FAILED": "red", "PROVISIONING": "yellow", "DELETING": "magenta"}


def orders_table(orders: Sequence[Progress]) -> Table:
    """Returns the orders with how far each is."""
    table = Table("order", "event", "resource", "machines", "", "in the ERP", box=None, header_style="bold")
    for progress in orders:
        colour = STATES.get(progress.state, "white")
        took = "" if progress.reported is None else f"[green]noted after {progress.reported:.2f} s"
        table.add_row(
            progress.order.name,
            "[green]✓" if progress.event else "…",
            f"[{colour}]{progress.state or '…'}",
            f"{len(progress.machines)}/{progress.order.machines}",
            ProgressBar(progress.order.machines, len(progress.machines), width=20),
            took,
        )
    return table


@contextlib.contextmanager
def live_orders(console: Console, orders: Sequence[Progress]) -> Iterator[Callable[[], None]]:
    """Yields what draws the orders anew; without a terminal they are printed once, at the end."""
    if not console.is_terminal:
        yield lambda: None
        console.print(orders_table(orders))
        return
    with Live(orders_table(orders), console=console, refresh_per_second=10) as live:
        yield lambda: live.update(orders_table(orders))


def machines_table(orders: Sequence[Progress]) -> Table:
    """Returns the machines with their pids."""
    table = Table("order", "machine", "pid", box=None, header_style="bold")
    for progress in orders:
        for name, pid in progress.machines.items():
            table.add_row(progress.order.name, name, str(pid))
    return table


def cascade_tree(progress: Progress, cascade: Any) -> Tree:
    """Returns what the event of an order led to: executions with their states, times and calls."""
    root = next((event for event in cascade.events if event.name == progress.event), None)
    begun = seconds(root.create_time) if root is not None else 0.0
    tree = Tree(f"[bold]{progress.order.name}[/] order.confirmed")
    for execution in cascade.executions:
        state = rule_pb2.Execution.State.Name(execution.state).removeprefix("STATE_")
        after = max(0.0, seconds(execution.end_time) - begun) if execution.HasField("end_time") else 0.0
        branch = tree.add(f"{execution.rule.rpartition('/')[2]}: {state} after {after * 1000:.0f} ms")
        for action in execution.actions:
            branch.add(f"{action.id}: {rule_pb2.ActionResult.State.Name(action.state).removeprefix('STATE_')}")
    return tree


def summary(orders: Sequence[Progress]) -> str:
    """Returns how long orders took from the confirmation to the note."""
    times = [progress.reported for progress in orders if progress.reported is not None]
    if not times:
        return "no order was reported"
    return f"confirmed to reported: median {statistics.median(times):.2f} s, longest {max(times):.2f} s"


def next_steps(console: Console, address: str, progress: Progress) -> None:
    """Prints what to type next."""
    console.print("\n[bold]The stack keeps running. Look around:[/]")
    for command in (
        f"{typed('sutler')} --address {address} get machines",
        f"{typed('sutler')} --address {address} get {progress.resource}",
        f"curl -s {address}/v1/resources/{progress.resource}",
        f"{typed('buf')} curl --protocol grpc --http2-prior-knowledge -d '{{}}' "
        f"http://{address}/sutler.provider.v1.ProviderService/ListMachines",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)
    ends = "`make stop` ends it; `make clean` ends the machines too and removes the stack's state."
    console.print(ends, markup=False, soft_wrap=True)
