"""The recipe for a sixth service, followed to the letter in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sutler.testing import ServiceProcess, free_ports, wait_blocking

from tests.docs.snippets import ROOT, files

READMES = (Path("protos/README.md"), Path("services/README.md"))
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__")
LAST = '"provider")'
UNUSABLE = 2

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("recipe")]


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "libs:.", "COLUMNS": "200"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def succeed(checkout: Path, *command: str) -> None:
    done = run(checkout, *command)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the contract of the recipe, and what `make gen` makes of it first."""
    checkout = tmp_path_factory.mktemp("recipe") / "checkout"
    shutil.copytree(ROOT, checkout, ignore=LEFT_OUT, symlinks=True)
    for path, text in (file for readme in READMES for file in files(readme).items()):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
    shutil.copytree(ROOT / ".build/include", checkout / ".build/include")
    succeed(checkout, sys.executable, "protos/gen.py")
    return checkout


@pytest.fixture(scope="module")
def checkout(contract: Path) -> Path:
    """The same with the service in the list."""
    refused = run(contract, sys.executable, "-m", "deploy.envoy")
    layout = contract / "deploy/local/layout.py"
    number, line = next(n for n in enumerate(layout.read_text().splitlines(), 1) if n[1].startswith("AREAS = "))
    assert (refused.returncode, refused.stdout) == (UNUSABLE, "")
    assert len(refused.stderr.splitlines()) == 1
    assert f"deploy/local/layout.py:{number}" in refused.stderr
    assert line.endswith(LAST)
    layout.write_text(layout.read_text().replace(line, line.replace(LAST, '"provider", "widget")')))
    return contract


def test_the_contract_is_well_formed(contract: Path) -> None:
    succeed(contract, tool("buf"), "format", "--diff", "--exit-code", "protos")
    succeed(contract, tool("buf"), "lint", "protos")


def test_the_contract_keeps_every_rule(contract: Path) -> None:
    succeed(contract, sys.executable, "-m", "pytest", "-q", "tests/contract/test_contracts.py", "-k", "widget")


def test_the_code_is_well_formed(checkout: Path) -> None:
    succeed(checkout, tool("ruff"), "check", "--no-cache", "services/widget")
    succeed(checkout, tool("ruff"), "format", "--no-cache", "--diff", "services/widget")
    succeed(checkout, sys.executable, "-m", "pytest", "-q", "tests/unit/test_rings.py", "-k", "widget and domain")


def test_what_is_still_missing_is_named(checkout: Path) -> None:
    suites = ["tests/docs/test_names.py", "tests/unit/test_rings.py", "tests/unit/deploy/test_docker.py"]
    done = run(checkout, sys.executable, "-m", "pytest", "-q", *suites, "-k", "widget or every_part")
    assert "KeyError" not in done.stdout
    assert "services/widget/README.md is missing" in done.stdout
    assert "deploy/docker/compose.yaml: add" in done.stdout


@pytest.fixture(scope="module")
def gateway(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway in front of the new service."""
    folder = tmp_path_factory.mktemp("running")
    port = free_ports(2)
    told = ["--port", str(port), "--admin-port", str(port + 1), "--access-log", "/dev/null"]
    data = f"sqlite:///{folder}/widget.db"
    with ServiceProcess("services.widget", "SUTLER_WIDGET_", folder=folder, checkout=checkout, data=data) as widget:
        told += ["--endpoint", f"widget={widget.address}", "--output", str(folder / "envoy.json")]
        succeed(checkout, sys.executable, "-m", "deploy.envoy", *told, "--check")
        envoy = subprocess.Popen(
            [tool("envoy"), "-c", str(folder / "envoy.json"), "--disable-hot-restart", "--log-level", "error"]
        )
        try:
            address = f"http://127.0.0.1:{port}/v1"
            wait_blocking(lambda: _answers(f"{address}/widgets/none") and widget.running, 60)
            yield address
        finally:
            envoy.terminate()
            envoy.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.NOT_FOUND
    except httpx.HTTPError:
        return False


def test_the_service_can_be_called(gateway: str) -> None:
    told = {"widgetId": "a", "requestId": str(uuid4())}
    made = httpx.post(f"{gateway}/widgets", params=told, json={"size": 7})
    assert made.status_code == httpx.codes.OK, made.text
    assert made.json()["size"] == 7
    assert httpx.post(f"{gateway}/widgets", params=told, json={"size": 7}).json() == made.json()
    assert httpx.get(f"{gateway}/widgets/a").json() == made.json()
    assert httpx.post(f"{gateway}/widgets", params={"widgetId": "A"}, json={}).status_code == httpx.codes.CONFLICT


@pytest.mark.parametrize(
    ("verb", "path", "status", "reason"),
    [
        ("POST", "widgets?widgetId=1", 400, "FIELD_INVALID"),
        ("GET", "widgets/none", 404, "NOT_FOUND"),
        ("GET", "widgets", 501, "NOT_IMPLEMENTED"),
    ],
)
def test_the_service_refuses_in_the_common_shape(gateway: str, verb: str, path: str, status: int, reason: str) -> None:
    answer = httpx.request(verb, f"{gateway}/{path}", json={} if verb == "POST" else None)
    assert answer.status_code == status, answer.text
    info = answer.json()["details"][0]
    assert (info["reason"], info["domain"]) == (reason, "widget.sutler.dev")
