"""A sandbox in memory whose calls are made directly, at a time that the test sets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.erp.sandbox.database import Database
from services.erp.sandbox.rpc import DATABASE, Rpc
from services.erp.sandbox.sessions import Sessions
from services.erp.sandbox.store import Store

START = datetime(2026, 11, 21, 10, 0, 0, 250_000)
IDS = {"admin": 2, "demo": 6, "portal": 7}


@dataclass
class Sandbox:
    """Calls methods of models as one of the demo users."""

    store: Store
    now: datetime = field(default=START)

    def __post_init__(self) -> None:
        self._rpc = Rpc(self.store, Sessions(self.store, DATABASE, None), version=18)

    def __call__(self, model: str, method: str, *args: Any, user: str = "admin", **keywords: Any) -> Any:
        arguments = [DATABASE, IDS[user], user, model, method, list(args), keywords]
        return self._rpc.call("object", "execute_kw", arguments, self.now).result

    def service(self, service: str, method: str, *args: Any) -> Any:
        return self._rpc.call(service, method, list(args), self.now).result

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def field(self, model: str, identifier: int, name: str) -> Any:
        return self(model, "read", [identifier], [name])[0][name]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    database = Database(":memory:")
    yield Sandbox(Store(database, None, START))
    database.close()
