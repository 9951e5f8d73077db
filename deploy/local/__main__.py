"""Runs the local stack: ``python -m deploy.local run|stop|clean|demo``."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local import manager
from deploy.local.demo.run import Demo
from deploy.local.layout import ROOT, Layout, Ports
from deploy.local.manager import StackError, StackStopped
from deploy.local.programs import typed
from deploy.local.ready import wait_ready

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False)

StateDir = Annotated[Path, typer.Option("--state", help="Folder for databases, logs and machines")]
Gateway = Annotated[int, typer.Option(envvar="GATEWAY_PORT", help="Port of the gateway")]
Services = Annotated[int, typer.Option(envvar="SERVICE_PORT", help="Port of the first service; the others follow")]
Sandbox = Annotated[int, typer.Option(envvar="SANDBOX_PORT", help="Port of the sandbox ERP")]
Admin = Annotated[int, typer.Option(envvar="ADMIN_PORT", help="Port of Envoy's admin page")]

STATE = ROOT / ".sutler"


@app.command()
def run(
    state: StateDir = STATE,
    gateway: Gateway = 8080,
    services: Services = 50051,
    sandbox: Sandbox = 8069,
    admin: Admin = 9901,
    stop_machines: Annotated[bool, typer.Option(help="End the machines too when the stack stops")] = False,
) -> None:
    """Run the sandbox, the services and Envoy until Ctrl-C, or until `make stop` elsewhere."""
    layout, ports = Layout(state.resolve()), Ports(gateway, services, sandbox, admin)
    manager.start(layout, ports)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_until_end(layout, ports))
    finally:
        _stop(layout)
        if stop_machines:
            end_machines(layout)
    console.print("stopped")


async def _until_end(layout: Layout, ports: Ports) -> None:
    """Returns when this process is asked to end, or somebody else has stopped the stack."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    showing = asyncio.create_task(_show(layout, ports))
    ends = {asyncio.create_task(asked.wait()), asyncio.create_task(manager.ended(layout))}
    done, _ = await asyncio.wait({showing, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if showing in done:
        with contextlib.suppress(StackStopped):
            showing.result()
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    showing.cancel()
    for each in done:
        each.result()


async def _show(layout: Layout, ports: Ports) -> None:
    await wait_ready(layout, ports, told=lambda name: console.print(f"  [green]up[/] {name}"))
    _greet(layout, ports)


@app.command()
def demo(
    state: StateDir = STATE,
    gateway: Gateway = 8080,
    services: Services = 50051,
    sandbox: Sandbox = 8069,
    admin: Admin = 9901,
    kill: Annotated[bool, typer.Option("--kill", help="Kill a random part every second while 20 orders run")] = False,
    kills: Annotated[int, typer.Option(min=0, help="With --kill: how many to kill; 0 until all is delivered")] = 0,
    orders: Annotated[int | None, typer.Option(min=1, max=100, help="How many orders; 3, with --kill 20")] = None,
    seed: Annotated[int | None, typer.Option(envvar="SEED", help="Repeats the same killing")] = None,
) -> None:
    """Show it all: orders confirmed in the ERP become machines, and the ERP is told."""
    layout, ports = Layout(state.resolve()), Ports(gateway, services, sandbox, admin)
    chosen = random.randrange(1_000_000) if seed is None else seed
    asyncio.run(Demo(layout, ports, orders or (20 if kill else 3), kill, kills, chosen, console).play())


@app.command()
def stop(state: StateDir = STATE) -> None:
    """Stop a stack that runs in the background; machines keep running."""
    console.print("stopped" if _stop(Layout(state.resolve())) else "nothing runs here")


@app.command()
def clean(state: StateDir = STATE) -> None:
    """Stop the stack, end all machines, then remove its state."""
    layout = Layout(state.resolve())
    _stop(layout)
    end_machines(layout)
    console.print(f"removing {layout.state}", soft_wrap=True)
    shutil.rmtree(layout.state, ignore_errors=True)


def _stop(layout: Layout) -> bool:
    """Stops a stack, shows what has ended, and returns whether it ran."""
    if manager.manager_pid(layout) is not None:
        console.print("stopping …")
    return manager.stop(layout, told=lambda name: console.print(f"  [yellow]down[/] {name}"))


def end_machines(layout: Layout) -> None:
    """Ends every process machine of a stack that does not run."""
    if layout.machines.exists():
        console.print("ending machines …")
        subprocess.run(
            [sys.executable, "-m", "services.provider.adapters.process.cleanup", layout.machines], cwd=ROOT, check=True
        )


def _greet(layout: Layout, ports: Ports) -> None:
    address = f"127.0.0.1:{ports.gateway}"
    up = f"\n[bold]Sutler is up[/]  gateway {address} (gRPC, gRPC-Web, REST), logs in {layout.logs}"
    console.print(up, soft_wrap=True)
    for name, port in ports.all().items():
        console.print(f"  127.0.0.1:{port:<6} {name}", markup=False)
    console.print("\nTry:", style="bold")
    for command in (
        f"curl {address}/v1/providerTypes",
        f"{typed('grpcurl')} -plaintext {address} list",
        f"{typed('sutler')} --address {address} status",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops it.")


def main() -> None:
    """Runs a command; what goes wrong is one line and exit code 1."""
    try:
        app()
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
