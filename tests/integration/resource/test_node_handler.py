"""The example of a remote handler, in Node: a real process, installed as its README says."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from google.longrunning.operations_pb2 import CancelOperationRequest
from google.rpc import code_pb2
from sutler.auth import make_token
from sutler.client import connect
from sutler.errors import Cancelled, Conflict, Invalid, NotFound, Unauthenticated
from sutler.resource.v1 import handler_pb2
from sutler.resource.v1 import resource_pb2 as pb
from sutler.server import running
from sutler.testing import free_port, wait_blocking
from sutler.wire import from_struct, timestamp, to_struct

from services.resource.app import app
from tests.integration.node import node_modules
from tests.integration.resource.conftest import SECRET, Tenant, settings_for, token, until

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "services/resource/examples/node_handler"
TYPE = "Custom.Org/sites"
S = pb.Resource.State

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of the lock file, installed once for each state of it."""
    return node_modules(EXAMPLE)


class Node:
    """The handler as a process that can be killed and started again."""

    def __init__(self, folder: Path, modules: Path) -> None:
        self.sites = folder / "sites"
        self.port = free_port()
        self._log = folder / "node.log"
        self._environment = {
            **os.environ,
            "NODE_PATH": str(modules),
            "SITES": str(self.sites),
            "SITES_PORT": str(self.port),
            "SITES_SECRET": SECRET,
            "SITES_PAUSE": "20",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                ["node", "handler.js"], cwd=EXAMPLE, env=self._environment, stdout=out, stderr=out
            )
        wait_blocking(self._serves)

    def _serves(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        return "serving" in self._log.read_text()

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(20)

    def pages(self, resource: pb.Resource) -> list[str]:
        return sorted(path.name for path in (self.sites / resource.uid).glob("page-*.html"))


@pytest.fixture
def node(tmp_path: Path, modules: Path) -> Iterator[Node]:
    process = Node(tmp_path, modules)
    process.start()
    yield process
    process.end()


@pytest_asyncio.fixture(loop_scope="session")
async def here(tmp_path: Path, node: Node) -> AsyncIterator[Tenant]:
    """A service with the type of the example."""
    address = f"127.0.0.1:{node.port}"
    async with (
        running(app, settings_for(f"sqlite:///{tmp_path}/r.db", address), "resource") as up,
        connect(up.address, token=token(tmp_path.name), attempts=1) as s,
    ):
        tenant = Tenant(tmp_path.name, s, None)  # type: ignore[arg-type]
        await tenant.type("Custom.Org.sites", address=address, actions=[pb.TypeAction(id="visit")])
        yield tenant


async def test_the_whole_way(here: Tenant, node: Node) -> None:
    group = await here.group()
    with pytest.raises(Invalid) as caught:
        await here.create(group, "a", TYPE, {"title": "<b>", "pages": 99})
    assert caught.value.reason == "HANDLER_REJECTED"
    found = [(violation.field, violation.reason) for violation in caught.value.violations]
    assert found == [("resource.properties.title", "MARKUP"), ("resource.properties.pages", "RANGE")]
    told = []
    begun = await here.create(group, "a", TYPE, {"title": "Shop", "pages": 20})
    made = await here.s.wait(begun, lambda now: told.append(now.percent))
    assert isinstance(made, pb.Resource)
    assert from_struct(made.outputs) == {"pages": 20, "visits": 0}
    assert len(node.pages(made)) == 20 and any(0 < percent < 100 for percent in told)
    changed = await here.s.wait(await here.update(made.name, {"pages": 2}))
    assert isinstance(changed, pb.Resource)
    assert from_struct(changed.outputs)["pages"] == 2 and node.pages(made) == ["page-1.html", "page-2.html"]
    for visits in (1, 2):
        answer = await here.s.wait(await here.invoke(made.name, "visit"))
        assert isinstance(answer, pb.InvokeActionResponse)
        assert from_struct(answer.result) == {"visits": visits}
        assert from_struct(answer.resource.outputs) == {"pages": 2, "visits": visits}
    await here.s.wait(await here.delete(made.name))
    with pytest.raises(NotFound):
        await here.get(made.name)
    assert not (node.sites / made.uid).exists()


async def test_a_kill_in_the_middle(here: Tenant, node: Node) -> None:
    group = await here.group()
    begun = await here.create(group, "a", TYPE, {"title": "Shop", "pages": 30})
    made = await here.get(f"{group}/providers/{TYPE}/a")

    async def at_work() -> bool:
        return len(node.pages(made)) > 2

    await until(at_work)
    await asyncio.to_thread(node.end)
    assert len(node.pages(made)) < 30
    with pytest.raises(Exception) as caught:
        await here.create(group, "b", TYPE, {"title": "Shop", "pages": 1})
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"  # type: ignore[attr-defined]
    await asyncio.to_thread(node.start)
    done = await here.s.wait(begun)
    assert isinstance(done, pb.Resource) and done.provisioning_state == S.STATE_SUCCEEDED
    assert len(node.pages(made)) == 30


async def test_cancel_before_all_is_there(here: Tenant, node: Node) -> None:
    group = await here.group()
    begun = await here.create(group, "a", TYPE, {"title": "Shop", "pages": 50})
    made = await here.get(f"{group}/providers/{TYPE}/a")

    async def at_work() -> bool:
        return len(node.pages(made)) > 2

    await until(at_work)
    await here.s.resources.CancelOperation(CancelOperationRequest(name=begun.name))
    with pytest.raises((Cancelled, Conflict)) as caught:
        await here.s.wait(begun)
    assert caught.value.reason == "CANCEL_INCOMPLETE"
    assert len(node.pages(made)) < 50
    await here.s.wait(await here.delete(made.name))
    assert not node.pages(made)


def context(fence: int) -> handler_pb2.HandlerContext:
    return handler_pb2.HandlerContext(
        tenant="t", principal="user:anna", attempt=1, fencing_token=fence, deadline_time=timestamp(2e9)
    )


async def test_keys_and_fences(node: Node) -> None:
    desired = pb.Resource(name="a", uid="a", properties=to_struct({"title": "Shop", "pages": 2}))
    one, two = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
    service = service_token()
    async with connect(f"127.0.0.1:{node.port}", token=service, attempts=1) as s:

        async def apply(key: str, fence: int) -> handler_pb2.ApplyResponse:
            request = handler_pb2.ApplyRequest(context=context(fence), idempotency_key=key, desired=desired)
            return [said async for said in s.handler.Apply(request)][-1]

        async def visits(key: str, fence: int) -> handler_pb2.ResourceHandlerInvokeActionResponse:
            request = handler_pb2.ResourceHandlerInvokeActionRequest(
                context=context(fence), idempotency_key=key, resource=desired, action="visit"
            )
            return [said async for said in s.handler.InvokeAction(request)][-1]

        first = await apply(one, 5)
        assert from_struct(first.result.outputs) == {"pages": 2, "visits": 0}
        assert await apply(one, 6) == first
        late = await apply(two, 4)
        assert late.failure.error.code == code_pb2.ABORTED and len(late.failure.error.details) == 1
        for _ in range(2):
            assert from_struct((await visits(two, 7)).result.result) == {"visits": 1}
        assert json.loads((node.sites / "a/site.json").read_text())["fence"] == 7


def service_token(service: bool = True) -> str:
    return make_token(SECRET, "service:resource", service=service)


@pytest.mark.parametrize("whose", ["nobody's", "rubbish", "a caller's", "no service's", "another secret's"])
async def test_only_the_service_may_call(node: Node, whose: str) -> None:
    bearers = {
        "nobody's": "",
        "rubbish": "a.b.c",
        "a caller's": token("t"),
        "no service's": service_token(service=False),
        "another secret's": make_token(SECRET[::-1], "service:resource", service=True),
    }
    async with connect(f"127.0.0.1:{node.port}", token=bearers[whose], attempts=1) as s:
        with pytest.raises(Unauthenticated):
            await s.handler.Read(handler_pb2.ReadRequest(context=context(1), desired=pb.Resource(uid="a")))


async def test_it_ends_when_it_is_asked_to(node: Node) -> None:
    assert await asyncio.to_thread(node.end, signal.SIGTERM) == 0


def test_the_lock_file_names_no_registry_and_pins_all() -> None:
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    packages = [found for name, found in lock["packages"].items() if name]
    assert packages and all("resolved" not in found and found["integrity"] for found in packages)
    pinned = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    assert all(lock["packages"][f"node_modules/{name}"]["version"] == version for name, version in pinned.items())


def test_it_is_short() -> None:
    assert len((EXAMPLE / "handler.js").read_text().splitlines()) < 150
