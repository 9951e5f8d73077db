"""Links: opened once for each change of the settings, and closed when nobody uses them any more."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import cast

from sutler.secret_box import make_box
from sutler.testing import wait_until

from services.erp.adapters.odoo.jsonrpc import odoo_jsonrpc
from services.erp.connections import Connection
from services.erp.gate import Gate
from services.erp.links import Links
from services.erp.ports import ConnectionStore, Driver
from tests.unit.erp.test_connections import a_connection


class Closed:
    """Makes drivers and notes of which revision of the connection those are that were closed."""

    def __init__(self) -> None:
        self.revisions: list[int] = []

    def make(self, connection: Connection, gate: Gate) -> Driver:
        driver = odoo_jsonrpc(connection, gate)
        close = driver.close

        async def closing() -> None:
            self.revisions.append(connection.revision)
            await close()

        driver.close = closing  # type: ignore[method-assign]
        return driver


def opener(closed: Closed) -> Links:
    box = make_box("erp", base64.b64encode(bytes(32)).decode(), None)
    return Links(cast(ConnectionStore, None), closed.make, box)


async def test_a_link_is_closed_when_nobody_has_it() -> None:
    closed = Closed()
    links = opener(closed)
    connection = a_connection()
    used = links.of(connection)
    assert links.of(connection) is used
    async with used.gate.turn():
        newer = links.of(replace(connection, revision=2))
        links.of(replace(connection, revision=3))
        assert newer is not used
        del newer
        await wait_until(lambda: closed.revisions == [2])
        gate = used.gate
        del used
    await wait_until(lambda: closed.revisions == [2, 1])
    assert gate.retired
    await links.close()
    assert closed.revisions == [2, 1, 3]


async def test_what_is_still_used_is_closed_at_the_end() -> None:
    closed = Closed()
    links = opener(closed)
    used = links.of(a_connection())
    links.forget(used.connection.uid)
    await links.close()
    assert closed.revisions == [1]
    del used
