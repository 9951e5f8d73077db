"""A small real HTTP server that rules send requests to: it answers as a test says, and remembers every request."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Sent:
    """One request that came. The path is without the tenant."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Pages:
    """How one tenant is answered: in turn, then with an empty 204."""

    sent: list[Sent] = field(default_factory=list)
    answers: list[web.Response | Answer] = field(default_factory=list)


class Web:
    """The server's memory, by tenant: the first part of a path.

    Attributes:
        origin: ``http://127.0.0.1:port``.
    """

    origin = ""

    def __init__(self) -> None:
        self.pages: dict[str, Pages] = defaultdict(Pages)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        _, tenant, path = request.raw_path.split("/", 2)
        pages = self.pages[tenant]
        headers = {name.lower(): value for name, value in request.headers.items()}
        pages.sent.append(Sent(request.method, path, headers, await request.read()))
        answer = pages.answers.pop(0) if pages.answers else web.Response(status=204)
        return answer if isinstance(answer, web.Response) else await answer(request)


@asynccontextmanager
async def serving_web() -> AsyncIterator[Web]:
    """Serves on a free port of the loopback."""
    served = Web()
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{rest:.*}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield served
    finally:
        await runner.cleanup()
