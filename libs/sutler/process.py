"""Runs a service as a process, or as several that share its work."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from sutler import folders
from sutler.errors import SutlerError
from sutler.server import App, serve
from sutler.settings import ServerSettings, load_settings
from sutler.store.location import place_of

WORKER = "SUTLER_WORKER"
"""Set in a worker process to its number."""

PARENT = "SUTLER_PARENT"
"""Set in a worker process to the descriptor of a pipe that ends when the process ends that started it."""

PORT_STEP = 10

STORAGE = frozenset(("STORAGE_FULL", "STORAGE_UNAVAILABLE"))
"""The reasons of errors that are about the database."""

STATE = Path(".sutler")
"""Where services keep their data if nothing else is said; the only folder that is made for them."""

S = TypeVar("S", bound=ServerSettings)


def main(app: App, kind: type[S], *, program: str = "") -> None:
    """Runs the service of a composition root; every ``__main__.py`` calls it.

    Args:
        app: The composition root.
        kind: The class of its settings.
        program: How it was called; ``python -m services.<area>`` if empty.

    Ends with code 0 after SIGTERM or SIGINT, 1 if the service cannot run, 2 if its settings are not usable.
    """
    area = str(kind.model_config["env_prefix"]).removeprefix("SUTLER_").rstrip("_").lower()
    arguments = argparse.ArgumentParser(
        prog=program or f"python -m services.{area}", description=kind.__doc__, add_help=False
    )
    arguments.add_argument("-h", "--help", action="store_true", help="show the settings and end")
    if arguments.parse_args().help:
        print_settings(kind)
        return
    settings = load_settings(kind)
    worker = os.environ.get(WORKER)
    if worker is not None:
        end_with_parent(int(os.environ[PARENT]))
    if settings.workers > 1 and worker is None:
        sys.exit(run_workers(settings.workers))
    if settings.data.startswith(f"sqlite:///{STATE}/"):
        folders.make(STATE)
    try:
        uvloop.run(serve(app, for_worker(settings, int(worker or 0)), area))
    except SutlerError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"{area}: {message_of(error, settings)}", markup=False
        )
        sys.exit(1)


def message_of(error: SutlerError, settings: ServerSettings) -> str:
    """Returns what the operator is told: the message, and the database that it is about if it names none.

    What the store says is for callers too, who must not learn where the database is.
    """
    named = error.metadata.keys() & {"path", "server"}
    return error.message if named or error.reason not in STORAGE else f"{error.message} ({place_of(settings.data)})"


def for_worker(settings: S, number: int) -> S:
    """Returns the settings of one worker: with own ports each listens 10 above the one before."""
    changes: dict[str, Any] = {}
    if settings.worker_ports == "own" and settings.port:
        changes["port"] = settings.port + PORT_STEP * number
    if settings.metrics_port:
        changes["metrics_port"] = settings.metrics_port + number
    return settings.model_copy(update=changes)


def run_workers(count: int) -> int:
    """Runs this program ``count`` times until a signal; if one ends, ends all for the process manager to restart."""
    spec = sys.modules["__main__"].__spec__
    assert spec is not None
    command = [sys.executable, "-m", spec.name.removesuffix(".__main__")]
    children: list[subprocess.Popen[bytes]] = []
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    life, _own = os.pipe()
    for number in range(count):
        environment = {**os.environ, WORKER: str(number), PARENT: str(life)}
        children.append(subprocess.Popen(command, env=environment, pass_fds=(life,)))
    if stopping:
        stop()
    first = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    failed = not stopping and first is not None
    stop()
    for child in children:
        child.wait()
    return 1 if failed else 0


def end_with_parent(life: int) -> None:
    """Asks this process to end (SIGTERM) as soon as the one that started it has ended, however that ended.

    Args:
        life: The end of a pipe whose other end only the parent has.
    """

    def wait() -> None:
        os.read(life, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def print_settings(kind: type[ServerSettings]) -> None:
    """Prints every setting as its environment variable is given, with its default, and what it means below."""
    prefix = str(kind.model_config["env_prefix"])
    console = Console(highlight=False)
    console.print(kind.__doc__, "", "NAME=default", sep="\n", markup=False)
    for name, field in kind.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        console.print(f"{prefix}{name.upper()}={_as_given(default)}", markup=False, soft_wrap=True)
        console.print(Padding(Text(field.description or ""), (0, 0, 0, 4), expand=False))


def _as_given(value: object) -> str:
    """Returns a value as an environment variable has it."""
    if value is None:
        return ""
    as_json = isinstance(value, bool | list | tuple | dict)
    return json.dumps(value) if as_json else str(value)
