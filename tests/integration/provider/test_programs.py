"""An operator's list of programs, and tenants that try to go round it."""

import sys
from pathlib import Path

import pytest
from sutler.errors import Invalid
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import wait_until
from sutler.wire import to_struct

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.programs import Programs
from services.provider.diagnostics import Category, Kind, ProviderFailed
from services.provider.machines import Sight
from services.provider.templates import ProcessSpec, Template
from tests.integration.provider.conftest import Serve, add_template, ask, set_up
from tests.integration.provider.kinds import made, template


def trap(folder: Path, name: str) -> Path:
    """A program of the tenant's own that says that it ran."""
    folder.mkdir(exist_ok=True)
    told = folder / "ran"
    (folder / name).write_text(f"#!/bin/sh\ntouch {told}\nexec /bin/sleep 1000\n")
    (folder / name).chmod(0o755)
    return told


async def test_what_a_tenant_may_not_say(serving: Serve, tmp_path: Path) -> None:
    trap(tmp_path / "mine", "sleep")
    async with serving(process_programs=["sleep"]) as client:
        await set_up(client)
        config = to_struct({"path": str(tmp_path / "mine")})
        with pytest.raises(Invalid) as path:
            await client.providers.CreateProvider(
                pb.CreateProviderRequest(provider_id="mine", provider=pb.Provider(type="process", config=config))
            )
        assert path.value.reason == "CONFIG_INVALID"
        assert [v.field for v in path.value.violations] == ["provider.config.path"]
        with pytest.raises(Invalid) as variable:
            await add_template(client, "preload", command=["sleep", "9"], environment={"LD_PRELOAD": "/tmp/x.so"})
        assert variable.value.reason == "TEMPLATE_INVALID"
        assert [(v.field, v.reason) for v in variable.value.violations] == [
            ("template.process.environment['LD_PRELOAD']", "VARIABLE_NOT_ALLOWED")
        ]
        assert (await ask(client)).running_count == 1


async def test_a_config_from_before_the_list_does_not_count(folder: Folder, tmp_path: Path) -> None:
    told = trap(tmp_path / "mine", "sleep")
    kind = ProcessKind(folder, Programs(["sleep", "env"]))
    config = {"path": str(tmp_path / "mine")}
    async with kind.owned():
        assert (await kind.launch(made(1), template("sleep", "1000"), config)).sight is Sight.ALIVE
        assert (await kind.launch(made(2), template("env"), config)).sight is Sight.ALIVE
        output = folder.output("m2", "stdout")
        await wait_until(lambda: output.exists() and output.read_text())
    assert f"PATH={Programs().path}" in output.read_text().splitlines()
    assert not told.exists()


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (ProcessSpec(command=(sys.executable, "-c", "")), "PROGRAM_NOT_ALLOWED", "process.command[0]"),
        (
            ProcessSpec(command=("sleep", "1"), environment={"LD_PRELOAD": "x"}),
            "VARIABLE_NOT_ALLOWED",
            "process.environment['LD_PRELOAD']",
        ),
        (ProcessSpec(command=("no-such-program",)), "ENOENT", "process.command"),
    ],
)
async def test_a_template_from_before_the_list_is_not_started(
    folder: Folder, spec: ProcessSpec, code: str, field: str
) -> None:
    kind = ProcessKind(folder, Programs(["sleep", "no-*"]))
    async with kind.owned():
        with pytest.raises(ProviderFailed) as failed:
            await kind.launch(made(), Template(process=spec), {})
    found = failed.value.diagnostic
    assert (found.code, found.field, found.category, found.kind) == (code, field, Category.VALIDATION, Kind.PERMANENT)
