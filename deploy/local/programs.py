"""The processes of the local stack, and the process manager's configuration for them.

The process manager is supervisord. With ``startsecs=0`` it counts every start as a success, so it starts what died
again, about a second later, and never gives up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path

from deploy.envoy.config import Gateway, make_config
from deploy.envoy.descriptors import gateway_services
from deploy.local.layout import AREAS, ROOT, Layout, Ports

BIN = Path(sys.executable).parent


def typed(name: str) -> str:
    """Returns how a program of this environment is called from the working directory, for people to copy."""
    path = BIN / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@dataclass(frozen=True, slots=True)
class Program:
    """One process.

    Attributes:
        name: Its name in the process manager.
        command: What is run.
        environment: What is added to the environment.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def programs(layout: Layout, ports: Ports) -> list[Program]:
    """Returns the sandbox, the services and Envoy."""
    sandbox = {
        "SUTLER_SANDBOX_PORT": str(ports.sandbox),
        "SUTLER_SANDBOX_DATA": str(layout.database("sandbox")),
        "SUTLER_SANDBOX_WRITE_LOG": str(layout.sandbox_log),
    }
    gateway = (str(BIN / "envoy"), "-c", str(layout.gateway_config), "--disable-hot-restart")
    return [
        Program("sandbox", (sys.executable, "-m", "services.erp.sandbox"), sandbox),
        *(_service(area, layout, ports) for area in AREAS),
        Program(
            "gateway", (*gateway, "--log-level", "warning", "--concurrency", "2", "--file-flush-interval-msec", "1000")
        ),
    ]


def _service(area: str, layout: Layout, ports: Ports) -> Program:
    prefix = f"SUTLER_{area.upper()}_"
    settings = {
        "PORT": str(ports.of(area)),
        "DATA": f"sqlite:///{layout.database(area)}",
        "LOG_FILE": str(layout.logs / f"{area}.jsonl"),
        **_links(area, layout, ports),
    }
    environment = {prefix + key: value for key, value in settings.items()}
    return Program(area, (sys.executable, "-m", f"services.{area}"), environment)


def _links(area: str, layout: Layout, ports: Ports) -> dict[str, str]:
    """Returns what a service must know of its neighbours."""
    address = {name: f"127.0.0.1:{ports.of(name)}" for name in AREAS}
    targets = {service: address[owner] for service, owner in gateway_services().items()}
    links = {
        "resource": {
            "RULE_ADDRESS": address["rule"],
            "HANDLER_ADDRESSES": json.dumps([address["provider"]]),
            "LEASE_SECONDS": "4",
        },
        "cache": {"RULE_ADDRESS": address["rule"]},
        "erp": {
            "RULE_ADDRESS": address["rule"],
            "CACHE_ADDRESS": address["cache"],
            "POLL_INTERVAL_SECONDS": "0.2",
            "LEASE_SECONDS": "2",
        },
        "rule": {"TARGETS": json.dumps(targets)},
        "provider": {"RULE_ADDRESS": address["rule"], "MACHINES": str(layout.machines)},
    }
    return links.get(area, {})


def write_configs(layout: Layout, ports: Ports) -> None:
    """Writes Envoy's and the process manager's configuration."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.machines.mkdir(parents=True, exist_ok=True)
    endpoints = {area: [f"127.0.0.1:{ports.of(area)}"] for area in AREAS}
    gateway = Gateway(
        endpoints, port=ports.gateway, admin_port=ports.admin, access_log=str(layout.logs / "gateway-access.jsonl")
    )
    layout.gateway_config.write_text(json.dumps(make_config(gateway)))
    with layout.manager_config.open("w") as file:
        _manager_config(layout, programs(layout, ports)).write(file)
    layout.save_ports(ports)


def _manager_config(layout: Layout, wanted: list[Program]) -> RawConfigParser:
    config = RawConfigParser(interpolation=None)
    config["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": _escaped(layout.manager_log),
        "pidfile": _escaped(layout.state / "supervisord.pid"),
        "directory": _escaped(ROOT),
    }
    for program in wanted:
        environment = {"PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}", "PYTHONUNBUFFERED": "1", **program.environment}
        config[f"program:{program.name}"] = {
            "command": _escaped(" ".join(program.command)),
            "environment": ",".join(f"{key}={_quoted(value)}" for key, value in environment.items()),
            "autorestart": "true",
            "startsecs": "0",
            "stopwaitsecs": "15",
            "redirect_stderr": "true",
            "stdout_logfile": _escaped(layout.logs / f"{program.name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "1",
        }
    return config


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")


def _quoted(value: str) -> str:
    """Returns a value in the quotes that it does not hold itself: supervisord knows no escapes."""
    mark = "'" if '"' in value else '"'
    return f"{mark}{_escaped(value)}{mark}"
