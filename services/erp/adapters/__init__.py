"""Drivers, stores and other sides of the gateway. The one table of drivers that come with it is here."""

from __future__ import annotations

from collections.abc import Sequence

from services.erp.adapters.odoo.json2 import INFO as ODOO_JSON2
from services.erp.adapters.odoo.json2 import odoo_json2
from services.erp.adapters.odoo.jsonrpc import INFO as ODOO_JSONRPC
from services.erp.adapters.odoo.jsonrpc import odoo_jsonrpc
from services.erp.adapters.tryton.driver import INFO as TRYTON
from services.erp.adapters.tryton.driver import TrytonDriver
from services.erp.drivers import DriverRegistry
from services.erp.ports import DriverInfo, MakeDriver

DRIVERS: Sequence[tuple[DriverInfo, MakeDriver]] = (
    (ODOO_JSONRPC, odoo_jsonrpc),
    (ODOO_JSON2, odoo_json2),
    (TRYTON, TrytonDriver),
)
"""What each driver says of itself, and what makes it for a connection."""


def make_registry() -> DriverRegistry:
    """Returns all drivers of this deployment: those of the table, and those that installed packages bring."""
    registry = DriverRegistry()
    for info, make in DRIVERS:
        registry.add(info, make)
    registry.load_entry_points()
    return registry
