"""Starts, finds and stops the process manager of a local stack."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from deploy.envoy.config import GatewayError
from deploy.envoy.descriptors import gateway_services
from deploy.local.layout import MOVE, ROOT, Layout, Ports, check_areas
from deploy.local.programs import BIN, write_configs

START_SECONDS = 10.0
STOP_SECONDS = 40.0
LOOK_SECONDS = 0.1


class StackError(Exception):
    """The stack cannot do what was asked; the text says why and what to do."""


class StackStopped(StackError):
    """Somebody else stopped the stack."""


def start(layout: Layout, ports: Ports) -> int:
    """Starts the stack in the background and returns the process manager's pid; one that runs already is left alone.

    Raises:
        StackError: If a port is taken or none, a service is not there, or the process manager does not start.
    """
    _check_plan(ports)
    running = manager_pid(layout)
    if running is not None:
        if layout.load_ports() != ports:
            raise StackError("the stack runs already, on other ports; `make stop` ends it")
        return running
    _check_free(ports)
    _write_configs(layout, ports)
    with layout.manager_log.open("ab") as log:
        manager = subprocess.Popen(
            [BIN / "supervisord", "-c", layout.manager_config],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for_pid(layout, manager)
    except BaseException:
        manager.terminate()
        raise
    return manager.pid


def _wait_for_pid(layout: Layout, manager: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS
    while manager_pid(layout) is None:
        if manager.poll() is not None or time.monotonic() > ends:
            raise StackError(f"the process manager did not start: {layout.manager_log.read_text().strip()[-2000:]}")
        time.sleep(0.05)


def stop(layout: Layout, told: Callable[[str], None] = lambda _: None) -> bool:
    """Stops the stack in order and returns whether it ran. Machines keep running.

    Args:
        layout: The stack.
        told: Called with the name of each part when it has ended.

    Raises:
        StackError: If it does not end in 40 s.
    """
    pid = manager_pid(layout)
    if pid is None:
        return False
    parts = set(program_pids(layout))
    ends = time.monotonic() + STOP_SECONDS
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended = False
        while not ended and time.monotonic() < ends:
            ended = bool(select.select([handle], [], [], LOOK_SECONDS)[0])
            left = set() if ended else set(program_pids(layout))
            for name in sorted(parts - left):
                told(name)
            parts &= left
    finally:
        os.close(handle)
    if not ended:
        raise StackError(f"the process manager (pid {pid}) has not ended in {STOP_SECONDS:.0f} s; see {layout.logs}")
    return True


async def ended(layout: Layout) -> None:
    """Returns when the process manager has ended in order, because somebody stopped the stack.

    Raises:
        StackError: If it died.
    """
    pid = manager_pid(layout)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            await _gone(pid)
    if _pid_file(layout).exists():
        raise StackError(f"the process manager died, and what it started may still run; see {layout.manager_log}")


async def _gone(pid: int) -> None:
    loop, gone, handle = asyncio.get_running_loop(), asyncio.Event(), os.pidfd_open(pid)
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _pid_file(layout: Layout) -> Path:
    return layout.state / "supervisord.pid"


def manager_pid(layout: Layout) -> int | None:
    """Returns the pid of this stack's process manager; None if it does not run."""
    try:
        pid = int(_pid_file(layout).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(layout.manager_config) in command else None


def program_pids(layout: Layout) -> dict[str, int]:
    """Returns the pids of the stack's processes by program name; those that are down are left out."""
    manager = manager_pid(layout)
    if manager is None:
        return {}
    try:
        children = Path(f"/proc/{manager}/task/{manager}/children").read_text().split()
    except OSError:
        return {}
    found = {}
    for child in children:
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        names = [entry.partition(b"=")[2] for entry in environment if entry.startswith(b"SUPERVISOR_PROCESS_NAME=")]
        if names:
            found[names[0].decode()] = int(child)
    return found


def _check_plan(ports: Ports) -> None:
    try:
        ports.check()
        check_areas(gateway_services().values())
    except ValueError as error:
        raise StackError(str(error)) from error
    except FileNotFoundError as error:
        raise StackError("there is no descriptor set: run `make gen`") from error


def _write_configs(layout: Layout, ports: Ports) -> None:
    try:
        write_configs(layout, ports)
    except GatewayError as error:
        raise StackError(str(error)) from error
    except OSError as error:
        raise StackError(f"cannot write to {layout.state}: {error.strerror}") from error


def _check_free(ports: Ports) -> None:
    for owner, port in ports.all().items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise StackError(
                    f"port {port} ({owner}) is in use: end the process that has it, or move ours, {MOVE}"
                ) from error
