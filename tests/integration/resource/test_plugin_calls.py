"""What plug-ins call of the service in its process: measured and logged like what comes from outside."""

import socket
from pathlib import Path

import httpx
from sutler.client import connect
from sutler.server import running

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, settings_for, token


def lines(text: str, method: str) -> dict[str, float]:
    """Returns by code how many calls of a method were counted."""
    found = [x for x in text.splitlines() if x.startswith("rpc_server_duration_seconds_count") and f'"{method}"' in x]
    return {line.split('rpc_grpc_code="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in found}


async def test_calls_of_plug_ins_are_counted(server: Server, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"t{tmp_path.name}"
    settings = settings_for(f"sqlite:///{tmp_path}/resource.db", plugins=["probe", "plain"], metrics_port=port)
    async with running(app, settings, "resource") as up, connect(up.address, token=token(name), attempts=1) as s:
        tenant = Tenant(name, s, Server(up.address, "sqlite", "", "", server.machines))
        group = await tenant.group()
        await tenant.type("Custom.Org.probes", plugin="probe")
        await tenant.type("Custom.Org.parts", plugin="plain")
        await tenant.made(group, "a", "Custom.Org/probes", {"behave": "make:Custom.Org/parts", "size": 2})
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    # Two for the scopes and one for the probe came from outside; the probe makes its part in both of its attempts.
    assert lines(text, "CreateResource") == {"OK": 5.0}
    assert lines(text, "GetResource") == {"OK": 2.0}
