"""The places for operations of one process: an abandoned one gives its place back at once."""

from pathlib import Path

from sutler.client import connect
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.wire import duration

from services.resource.app import app
from tests.integration.resource.conftest import Server, Tenant, settings_for, token, until


async def test_an_abandoned_call_is_ended_and_its_place_is_free(server: Server, tmp_path: Path) -> None:
    name = f"t{tmp_path.name}"
    settings = settings_for(f"sqlite:///{tmp_path}/resource.db", server.handler, concurrency=1, plugins=[])
    async with running(app, settings, "resource") as up, connect(up.address, token=token(name), attempts=1) as s:
        tenant = Tenant(name, s, Server(up.address, "sqlite", "", server.handler, server.machines))
        tenant.machines.release.clear()
        group = await tenant.group()
        handler = pb.TypeHandler(idle_timeout=duration(3600))
        type = await tenant.machine_type(handler=handler)
        stuck = await tenant.create(group, "stuck", type, {"behave": "hang"})

        async def is_called() -> bool:
            return bool(tenant.calls("Apply", f"{group}/providers/{type}/stuck"))

        await until(is_called)
        waiting = await tenant.create(group, "waiting", type)
        await s.resources.AbandonOperation(pb.AbandonOperationRequest(name=stuck.name))
        made = await s.wait(waiting)
        assert isinstance(made, pb.Resource)
        assert f"{group}/providers/{type}/stuck" in tenant.machines.ended
