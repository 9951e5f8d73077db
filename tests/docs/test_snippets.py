"""Every snippet of every README runs, against a real stack."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sutler.testing import Stack

from deploy.local.layout import AREAS, Ports
from tests.docs.snippets import ROOT, moved, readmes, snippets

WITH_SNIPPETS = [path for path in readmes() if snippets(path)]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), checkout=ROOT) as running:
        yield running


@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", WITH_SNIPPETS, ids=str)
def test_snippets_run(path: Path, stack: Stack, tmp_path: Path) -> None:
    defaults = Ports()
    own = {"gateway": defaults.gateway, "sandbox": defaults.sandbox, "admin": defaults.admin}
    own |= {area: defaults.of(area) for area in AREAS}
    ports = {port: stack.ports[name] for name, port in own.items()}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}",
        "SUTLER_ADDRESS": stack.address,
        "SCRATCH": str(tmp_path),
    }
    for snippet in snippets(path):
        code = moved(snippet.code, ports)
        runner = [sys.executable, "-c"] if snippet.language == "python" else ["bash", "-euo", "pipefail", "-c"]
        process = subprocess.Popen(
            [*runner, code],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, f"{path}:{snippet.line} ended with {process.returncode}:\n{output.decode()}"


def test_there_are_snippets() -> None:
    assert len(WITH_SNIPPETS) >= 2
