"""The sixth service of protos/README.md, in memory; runs commands on it and prints how each ended, as JSON.

Run as a program, with the contract's stubs on the path: nothing else knows that there are widgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google.protobuf.empty_pb2 import Empty
from pydantic_settings import SettingsConfigDict
from sutler.cli import main
from sutler.errors import not_found
from sutler.masks import merge
from sutler.server import Runtime, Service
from sutler.settings import ServerSettings
from sutler.testing import serve
from sutler.widget.v1 import widget_pb2 as pb  # type: ignore[import-not-found]
from sutler.widget.v1 import widget_pb2_grpc


class Settings(ServerSettings):
    """Widgets in memory."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_WIDGET_")


class Widgets:
    """Keeps widgets."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def GetWidget(self, request: Any, context: Any) -> Any:
        if request.name not in self.kept:
            raise not_found(request.name)
        return self.kept[request.name]

    async def ListWidgets(self, request: Any, context: Any) -> Any:
        return pb.ListWidgetsResponse(widgets=self.kept.values())

    async def UpdateWidget(self, request: Any, context: Any) -> Any:
        stored = self.kept.get(request.widget.name) or pb.Widget(name=request.widget.name)
        made = merge(stored, request.widget, None)
        if not request.validate_only:
            self.kept[made.name] = made
        return made

    async def DeleteWidget(self, request: Any, context: Any) -> Empty:
        if self.kept.pop(request.name, None) is None:
            raise not_found(request.name)
        return Empty()

    @asynccontextmanager
    async def app(self, settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        """Composes the service."""
        add = widget_pb2_grpc.add_WidgetServiceServicer_to_server
        yield Service("widget", {"sutler.widget.v1.WidgetService": (add, self)})


@contextmanager
def served() -> Iterator[str]:
    """Serves from a thread and yields the address."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    addresses: list[str] = []

    async def work() -> None:
        async with serve(Widgets().app, Settings) as (_, running):
            addresses.append(running.address)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def run(address: str, words: list[str]) -> tuple[int, str]:
    """Runs a command; returns its exit code and what it printed."""
    sys.argv = ["sutler", "--address", address, *words]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


if __name__ == "__main__":
    with served() as address:
        print(json.dumps([run(address, line.split()) for line in sys.argv[1:]]))
