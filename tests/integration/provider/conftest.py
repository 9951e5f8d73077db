"""A real ProviderService with a folder of its own; whatever it started is gone after each test."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.longrunning.operations_pb2 import Operation
from sutler.client import Sutler
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import postgresql_schema, serve

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.programs import Programs
from services.provider.app import app
from services.provider.settings import Settings

Serve = Callable[..., AbstractAsyncContextManager[Sutler]]
LAB, SMALL = "providers/lab", "templates/small"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the long kill tests out unless ``-m`` asks for them."""
    if not config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("crash")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database, gone afterwards."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/provider.db"
    else:
        with postgresql_schema() as url:
            yield url


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The folder of the machines; whoever has a file of it open at the end is killed."""
    folder = tmp_path / "machines"
    yield folder
    for pid in users(folder):
        with suppress(ProcessLookupError):  # it may have ended by itself since
            os.kill(pid, signal.SIGKILL)


def users(folder: Path) -> list[int]:
    """The other processes that have a file below a folder open."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
        except OSError:
            continue
        if any(link.startswith(f"{folder}/") and link.endswith(".lock") for link in links):
            found.append(int(entry))
    return found


@pytest.fixture
def folder(place: Path) -> Folder:
    found = Folder(place)
    found.make()
    return found


@pytest_asyncio.fixture
async def kind(folder: Folder) -> AsyncIterator[ProcessKind]:
    found = ProcessKind(folder, Programs())
    async with found.owned():
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database on each engine."""
    with database(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def serving(place: Path, tmp_path: Path) -> Serve:
    """Runs the service until the block ends, and again over the same data if it is called again."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Sutler]:
        settings.setdefault("data", f"sqlite:///{tmp_path}/provider.db")
        settings.setdefault("drain_seconds", 1.0)
        async with serve(app, Settings, machines=place, **settings) as (client, _):
            yield client

    return run


@pytest_asyncio.fixture
async def service(serving: Serve) -> AsyncIterator[Sutler]:
    """A service with the provider ``lab`` and the template ``small``."""
    async with serving() as client:
        await set_up(client)
        yield client


async def set_up(client: Sutler, **process: Any) -> None:
    await client.providers.CreateProvider(
        pb.CreateProviderRequest(provider_id="lab", provider=pb.Provider(type="process"))
    )
    process.setdefault("command", ["sleep", "1000"])
    await add_template(client, "small", **process)


async def add_template(client: Sutler, name: str, **process: Any) -> str:
    template = pb.Template(provider=LAB, process=pb.ProcessSpec(**process))
    await client.providers.CreateTemplate(pb.CreateTemplateRequest(template_id=name, template=template))
    return f"templates/{name}"


async def ask(client: Sutler, count: int = 1, template: str = SMALL, **more: Any) -> pb.MachineRequest:
    """Asks for machines and waits for them."""
    operation = await begin(client, count, template, **more)
    response = await client.wait(operation)
    assert isinstance(response, pb.MachineRequest)
    return response


async def begin(client: Sutler, count: int = 1, template: str = SMALL, **more: Any) -> Operation:
    """Asks for machines."""
    return await client.providers.RequestMachines(pb.RequestMachinesRequest(template=template, count=count, **more))


async def give_back(client: Sutler, **what: Any) -> pb.MachineRequest:
    """Returns machines and waits until they have ended."""
    response = await client.wait(await client.providers.ReturnMachines(pb.ReturnMachinesRequest(**what)))
    assert isinstance(response, pb.MachineRequest)
    return response


async def machines(client: Sutler, filter: str = "") -> list[pb.Machine]:
    """All machines that pass a filter, by name."""
    answer = await client.providers.ListMachines(pb.ListMachinesRequest(filter=filter, page_size=1000))
    assert not answer.next_page_token
    return list(answer.machines)


async def machine(client: Sutler, name: str) -> pb.Machine:
    found: pb.Machine = await client.providers.GetMachine(pb.GetMachineRequest(name=name))
    return found


def pid_of(found: pb.Machine) -> int:
    return int(found.attributes["pid"])


def new_id() -> str:
    return str(uuid.uuid4())
