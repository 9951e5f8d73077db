"""The example of a plug-in, in Node: a real process, tested by the suite for authors and used by the service."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.auth import make_token
from sutler.client import connect
from sutler.errors import Unauthenticated
from sutler.provider.v1 import plugin_pb2
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import free_port, wait_blocking
from sutler.testing.provider_plugins import SERVICE, ProviderPluginTests, Subject

from tests.integration.node import node_modules
from tests.integration.provider.conftest import Serve, ask, begin, give_back, machines

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "services/provider/examples/node_plugin"
SECRET = "a secret that the services share, 32+ bytes"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}/libs:{ROOT}"}

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of the lock file, installed once for each state of it."""
    return node_modules(EXAMPLE)


class Node:
    """The plug-in as a process that can be killed and started again."""

    def __init__(self, folder: Path, modules: Path, secret: str = "") -> None:
        self.sheds = folder / "sheds"
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._log = folder / "node.log"
        own = {
            "NODE_PATH": str(modules),
            "SHEDS": str(self.sheds),
            "SHEDS_PORT": str(self.port),
            "SHEDS_SECRET": secret,
        }
        self._environment = {**os.environ, **own}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                ["node", "plugin.js"], cwd=EXAMPLE, env=self._environment, stdout=out, stderr=out
            )
        wait_blocking(self._serves, 30)

    def _serves(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        return "serving" in self._log.read_text()

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)

    def made(self) -> list[str]:
        return [json.loads(path.read_text())["state"] for path in self.sheds.glob("*/*/shed.json")]


@pytest.fixture
def node(tmp_path: Path, modules: Path) -> Iterator[Node]:
    process = Node(tmp_path, modules)
    process.start()
    yield process
    process.end()


class TestSuite(ProviderPluginTests):
    """What authors run."""

    @pytest_asyncio.fixture
    async def subject(self, node: Node) -> AsyncIterator[Subject]:
        async with connect(node.address, attempts=1) as client:
            yield Subject(client.stub(SERVICE), "sheds", {"room": 20}, pb.Template(image="oak"), seconds=30)


def test_the_command_for_authors_finds_faults(node: Node) -> None:
    command = [sys.executable, "-m", "sutler.testing.provider_plugins", node.address, "sheds", "--seconds", "30"]
    well = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    assert well.returncode == 0, well.stdout
    wrong = [*command, "--template", '{"image": "stone"}']
    broken = subprocess.run(wrong, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    assert broken.returncode == 1 and "1 failed" in broken.stdout, broken.stdout


async def test_machines_of_the_service(serving: Serve, node: Node) -> None:
    async with serving(plugin_addresses={"sheds": node.address}) as client:
        yard = pb.Provider(type="sheds")
        await client.providers.CreateProvider(pb.CreateProviderRequest(provider_id="yard", provider=yard))
        template = pb.Template(provider="providers/yard", image="oak")
        await client.providers.CreateTemplate(pb.CreateTemplateRequest(template_id="shed", template=template))
        checked = await client.providers.ValidateTemplate(
            pb.ValidateTemplateRequest(template=pb.Template(provider="providers/yard", image="stone"))
        )
        assert [violation.field for violation in checked.violations] == ["template.image"]
        request = await ask(client, 3, "templates/shed")
        assert node.made() == ["STATE_RUNNING"] * 3
        await asyncio.to_thread(node.end)
        operation = await begin(client, 2, "templates/shed")
        await asyncio.to_thread(node.start)
        more = await client.wait(operation)
        assert isinstance(more, pb.MachineRequest) and more.fulfilled == 2 and len(node.made()) == 5
        await give_back(client, machine_request=request.name)
        assert sorted(node.made()) == ["STATE_RUNNING"] * 2 + ["STATE_TERMINATED"] * 3
        assert len(await machines(client, "state = STATE_RUNNING")) == 2


async def test_only_the_service_may_call(tmp_path: Path, modules: Path) -> None:
    process = Node(tmp_path, modules, SECRET)
    process.start()
    call = plugin_pb2.PluginCall(provider_type="sheds")
    bearers = {
        make_token(SECRET, "service:provider", service=True): True,
        "": False,
        make_token(SECRET, "service:provider"): False,
        make_token(SECRET, "service:resource", service=True): False,
        make_token(SECRET[::-1], "service:provider", service=True): False,
    }
    for token, right in bearers.items():
        async with connect(process.address, token=token, attempts=1) as client:
            describe = client.stub(SERVICE).Describe(plugin_pb2.DescribeRequest(call=call))
            if right:
                assert (await describe).provider_type.type == "sheds"
            else:
                with pytest.raises(Unauthenticated):
                    await describe
    assert await asyncio.to_thread(process.end, signal.SIGTERM) == 0


def test_the_lock_file_names_no_registry_and_it_is_short() -> None:
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    packages = [found for name, found in lock["packages"].items() if name]
    assert packages and all("resolved" not in found and found["integrity"] for found in packages)
    assert len((EXAMPLE / "plugin.js").read_text().splitlines()) < 150
