"""The one event loop that runs behind programs without asyncio."""

from __future__ import annotations

import asyncio
import os
from threading import Lock, Thread

_lock = Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def background_loop() -> asyncio.AbstractEventLoop:
    """Returns the loop, which runs in a thread of its own as long as this process; a forked process gets its own."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            Thread(target=loop.run_forever, name="sutler-cache", daemon=True).start()
        return loop
