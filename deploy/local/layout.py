"""Where the local stack keeps its things, and which ports it takes."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AREAS = ("resource", "cache", "erp", "rule", "provider")
"""Every service, in the order of their ports from 50051 on. Programs, gateway, probes and tests follow this line."""

MAX_PORT = 65_535
MOVE = "for example with GATEWAY_PORT=18080 SERVICE_PORT=15051 SANDBOX_PORT=18069 ADMIN_PORT=19901"
"""How ports are moved, for errors."""


def check_areas(contracts: Collection[str], *, folders: bool = True) -> None:
    """Checks that :data:`AREAS` lists exactly the services that there are.

    Args:
        contracts: The areas that have a contract with REST bindings.
        folders: Whether each must also have its folder in ``services/``.

    Raises:
        ValueError: If not; the text names the line to change.
    """
    place = f"{Path(__file__).resolve().relative_to(ROOT)}:{_line_of_areas()}"
    for area in sorted(set(contracts) - set(AREAS)):
        raise ValueError(f'{place}: add "{area}" at the end of AREAS; protos/sutler/{area}/v1 has its contract')
    for area in AREAS:
        if area not in contracts:
            raise ValueError(f'{place}: AREAS lists "{area}", but protos/sutler/{area}/v1 has no REST paths')
        if folders and not (ROOT / "services" / area / "__main__.py").is_file():
            raise ValueError(f'{place}: AREAS lists "{area}", but services/{area}/__main__.py does not exist')


def _line_of_areas() -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith("AREAS ="))


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack, all on loopback.

    Attributes:
        gateway: gRPC, gRPC-Web and REST.
        services: Of the first service; the others follow in the order of :data:`AREAS`.
        sandbox: The sandbox ERP.
        admin: Envoy's admin page.
    """

    gateway: int = 8080
    services: int = 50051
    sandbox: int = 8069
    admin: int = 9901

    def of(self, area: str) -> int:
        """Returns the port of a service."""
        return self.services + AREAS.index(area)

    def all(self) -> dict[str, int]:
        """Returns every port by who takes it."""
        own = {area: self.of(area) for area in AREAS}
        return {**own, "gateway": self.gateway, "sandbox": self.sandbox, "Envoy's admin page": self.admin}

    def check(self) -> None:
        """Checks that every port is one, and that no two are the same.

        Raises:
            ValueError: If not; the text names who wants which.
        """
        owners: dict[int, str] = {}
        for owner, port in self.all().items():
            if not 0 < port <= MAX_PORT:
                raise ValueError(f"port {port} ({owner}) is not between 1 and {MAX_PORT}: move it, {MOVE}")
            if port in owners:
                raise ValueError(f"port {port} is meant for both {owners[port]} and {owner}: move one, {MOVE}")
            owners[port] = owner


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one stack.

    Attributes:
        state: Its folder; everything else is in it.
    """

    state: Path

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.state / "logs"

    @property
    def machines(self) -> Path:
        """Folder of the process machines' lock files and outputs."""
        return self.state / "machines"

    @property
    def gateway_config(self) -> Path:
        """Envoy's configuration."""
        return self.state / "envoy.json"

    @property
    def manager_config(self) -> Path:
        """The process manager's configuration."""
        return self.state / "supervisord.conf"

    @property
    def manager_log(self) -> Path:
        """What the process manager did, and why it did not start."""
        return self.logs / "supervisord.log"

    @property
    def sandbox_log(self) -> Path:
        """What was written to the sandbox ERP, a JSON line each."""
        return self.logs / "sandbox-writes.jsonl"

    def database(self, name: str) -> Path:
        """Returns the SQLite file of a service or of the sandbox."""
        return self.state / f"{name}.db"

    def save_ports(self, ports: Ports) -> None:
        """Remembers the ports for other commands."""
        (self.state / "ports.json").write_text(json.dumps(asdict(ports)))

    def load_ports(self) -> Ports:
        """Returns the remembered ports, the defaults if none are."""
        try:
            found = json.loads((self.state / "ports.json").read_text())
        except FileNotFoundError:
            return Ports()
        return Ports(**{field.name: found[field.name] for field in fields(Ports)})
