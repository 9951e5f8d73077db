"""The composition root: settings, database, services, HTTP."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

from starlette.applications import Starlette
from starlette.routing import Route

from services.erp.sandbox.calls import Calls
from services.erp.sandbox.database import Database
from services.erp.sandbox.front import Front
from services.erp.sandbox.journal import Journal
from services.erp.sandbox.json2 import Json2
from services.erp.sandbox.rpc import DATABASE, Clock, Rpc, utc_now
from services.erp.sandbox.sessions import Sessions
from services.erp.sandbox.settings import Settings
from services.erp.sandbox.store import Store
from services.erp.sandbox.turns import Turns

ANY_METHOD = ["GET", "POST", "PUT", "DELETE", "PATCH"]


@contextmanager
def running(settings: Settings, clock: Clock = utc_now) -> Iterator[Starlette]:
    """Open the database and give the application; close everything afterwards."""
    ahead = timedelta(seconds=settings.clock_offset)
    database = Database(settings.data)
    journal = Journal(settings.write_log) if settings.write_log else None
    pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="sandbox")
    try:
        store = Store(database, journal, clock() + ahead, settings.partners)
        sessions = Sessions(store, DATABASE, settings.api_key)
        rpc = Rpc(store, sessions, version=19 if settings.json2 else 18)
        calls = Calls()
        turns = Turns(pool, settings, lambda: clock() + ahead)
        front = Front(rpc, Json2(rpc, store, sessions), turns, calls, keep_alive=settings.keep_alive)
        newest = [
            Route("/json/2/{model}/{method}", front.json2, methods=["POST"]),
            Route("/web/version", front.version),
        ]
        routes = [
            Route("/jsonrpc", front.jsonrpc, methods=ANY_METHOD),
            Route("/web/health", front.health),
            Route("/sandbox/calls", front.calls, methods=["GET", "DELETE"]),
            *(newest if settings.json2 else [Route("/json/{rest:path}", front.login_page, methods=["GET", "POST"])]),
        ]
        yield Starlette(routes=routes, exception_handlers={404: front.not_found, 405: front.not_found})
    finally:
        pool.shutdown()
        database.close()
