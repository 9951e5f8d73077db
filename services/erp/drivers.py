"""Which drivers there are: those that come with the gateway, and those that others bring.

A package brings one by an entry point, whose name is that of the driver::

    [project.entry-points."sutler.erp.drivers"]
    notes = "my_package:register"

    def register(registry: DriverRegistry) -> None:
        registry.add(DriverInfo(driver="notes", display_name="Notes", erp_versions="1.0"), NotesDriver)

It implements :class:`services.erp.ports.Driver`, whose types are this service's own: it is installed beside it. The
composition root makes one registry and loads the entry points; nothing is registered by being imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points

import jsonschema_rs
import structlog
from sutler.errors import invalid_fields
from sutler.validation import from_json_schema

from services.erp import faults
from services.erp.connections import Connection, ConnectionSpec
from services.erp.gate import Gate
from services.erp.ports import Driver, DriverInfo, MakeDriver

GROUP = "sutler.erp.drivers"
"""The group of entry points."""

NAME = re.compile("[a-z][a-z0-9_-]{0,62}")

log = structlog.get_logger("erp.drivers")


class DriverRegistry:
    """The drivers of this deployment."""

    def __init__(self) -> None:
        self._infos: dict[str, DriverInfo] = {}
        self._makers: dict[str, MakeDriver] = {}
        self._options: dict[str, jsonschema_rs.Draft202012Validator] = {}

    @property
    def infos(self) -> Mapping[str, DriverInfo]:
        """What each driver says of itself, by id."""
        return self._infos

    def add(self, info: DriverInfo, make: MakeDriver) -> None:
        """Makes a driver known.

        Args:
            info: What it says of itself.
            make: Makes it for a connection; it connects with its first call.

        Raises:
            ValueError: If its id is taken, or is none, or its ``options_schema`` is no JSON Schema.
        """
        if not NAME.fullmatch(info.driver):
            raise ValueError(f"{info.driver!r} is no name of a driver: use small letters, digits, - and _")
        if info.driver in self._infos:
            raise ValueError(f"there is a driver {info.driver!r} already: use another name")
        self._options[info.driver] = jsonschema_rs.Draft202012Validator(dict(info.options_schema))
        self._infos[info.driver] = info
        self._makers[info.driver] = make

    def check_options(self, spec: ConnectionSpec) -> None:
        """Checks the ``driver_options`` and the ``default_context`` of a connection whose driver is known.

        Raises:
            Invalid: With a violation for each option that its driver does not take (FIELD_INVALID), or for what has a
                field of its own in the context (CONTEXT_INVALID).
        """
        if spec.default_context is not None:
            self._infos[spec.driver].check_context(spec.default_context, "connection.default_context")
        errors = self._options[spec.driver].iter_errors(dict(spec.driver_options))
        if violations := from_json_schema(errors, ["connection", "driver_options"]):
            raise invalid_fields(violations)

    def load_entry_points(self) -> None:
        """Makes known what installed packages bring. One that cannot be loaded is left out, and the log says why."""
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            try:
                point.load()(self)
            except Exception as error:
                log.error("driver cannot be loaded", driver=point.name, entry_point=point.value, error=str(error))

    def make(self, connection: Connection, gate: Gate) -> Driver:
        """Returns the driver of a connection.

        Raises:
            Invalid: If this deployment does not have it any more (DRIVER_UNKNOWN).
        """
        name = connection.spec.driver
        if name not in self._makers:
            raise faults.driver_unknown(name, self._makers)
        return self._makers[name](connection, gate)
