"""Drivers, stores and other sides of the gateway. The one table of drivers is here."""

from __future__ import annotations

from collections.abc import Mapping

from services.erp.adapters.odoo.driver import INFO as ODOO_JSONRPC
from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.ports import DriverInfo, MakeDriver

DRIVERS: Mapping[str, tuple[DriverInfo, MakeDriver]] = {
    ODOO_JSONRPC.driver: (ODOO_JSONRPC, OdooDriver),
}
"""What each driver says of itself, and what makes it for a connection."""
