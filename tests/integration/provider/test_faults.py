"""Processes that cannot be started, and what they may use."""

import resource
import sys
from typing import Any

import pytest
from sutler.errors import Unavailable
from sutler.testing import wait_until

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.programs import Programs
from services.provider.diagnostics import Category, Kind, ProviderFailed
from services.provider.machines import Sight
from services.provider.templates import ProcessSpec, Template
from tests.integration.provider.kinds import made, template


class TestFailures:
    async def failure(self, kind: ProcessKind, what: Template) -> ProviderFailed:
        with pytest.raises(ProviderFailed) as failed:
            await kind.launch(made(), what, {})
        return failed.value

    @pytest.mark.parametrize(
        ("spec", "code", "field"),
        [
            ({"command": ("no-such-program",)}, "ENOENT", "process.command"),
            ({"command": ("/etc/passwd",)}, "EACCES", "process.command"),
            (
                {"command": ("sleep", "1"), "working_directory": "/no/such/folder"},
                "ENOENT",
                "process.working_directory",
            ),
            ({"command": ("sleep", "x" * 200_000)}, "E2BIG", "process.command"),
        ],
    )
    async def test_what_cannot_be_started(self, kind: ProcessKind, spec: dict[str, Any], code: str, field: str) -> None:
        found = (await self.failure(kind, Template(process=ProcessSpec(**spec)))).diagnostic
        assert (found.code, found.field, found.category, found.kind) == (
            code,
            field,
            Category.VALIDATION,
            Kind.PERMANENT,
        )

    async def test_a_failure_is_remembered_over_a_restart(self, folder: Folder) -> None:
        for _ in range(2):
            kind = ProcessKind(folder, Programs())
            async with kind.owned():
                seen = await kind.look(made())
                if seen.sight is Sight.NOTHING:
                    await self.failure(kind, template("no-such-program"))
        assert seen.diagnostic is not None
        assert seen.diagnostic.code == "ENOENT"

    async def test_a_host_that_fails_is_tried_again(self, kind: ProcessKind) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(16, before[0]), before[1]))
        try:
            with pytest.raises(Unavailable) as failed:
                await kind.launch(made(), template(), {})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert failed.value.metadata["code"] == "EMFILE"
        assert (await kind.launch(made(), template(), {})).sight is Sight.ALIVE

    async def test_limits_hold(self, kind: ProcessKind, folder: Folder) -> None:
        script = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_AS)[0])"
        what = template(sys.executable, "-c", script, open_files=321, memory_bytes=2**31)
        await kind.launch(made(), what, {})
        output = folder.output("m1", "stdout")
        await wait_until(lambda: output.exists() and output.read_text() == f"(321, 321) {2**31}\n")
