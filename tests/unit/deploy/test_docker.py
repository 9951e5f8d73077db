"""No Docker here: what a parser can tell of the image and of the compose file."""

import ast
import importlib
import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sutler.settings import ServerSettings
from typer.main import get_command

from deploy.envoy.__main__ import app
from deploy.local.layout import AREAS
from services.erp.sandbox.settings import Settings as SandboxSettings
from tests.unit.deploy.compose import FOLDER, ROOT, dockerfile, services

GIVEN = {"SUTLER_AUTH_SECRET": "thirty-two bytes or more, known to all"}
PARTS = services(GIVEN)
PORTS = {area: 50051 + i for i, area in enumerate(AREAS)}
COMPOSED = [area for area in AREAS if area in PARTS]


def settings_of(area: str) -> type[ServerSettings]:
    kind: type[ServerSettings] = importlib.import_module(f"services.{area}.settings").Settings
    return kind


def test_every_part_is_there() -> None:
    wanted = {*AREAS, "sandbox", "gateway", "certs"}
    assert set(PARTS) == wanted, f"deploy/docker/compose.yaml: add or remove under services: {set(PARTS) ^ wanted}"


def test_without_a_secret_nothing_starts() -> None:
    with pytest.raises(LookupError, match="SUTLER_AUTH_SECRET"):
        services({})


def test_only_the_gateway_is_published_and_on_loopback() -> None:
    assert {name: part["ports"] for name, part in PARTS.items() if "ports" in part} == {
        "gateway": ["127.0.0.1:8080:8080"]
    }
    assert services({**GIVEN, "GATEWAY_PORT": "18080"})["gateway"]["ports"] == ["127.0.0.1:18080:8080"]


@pytest.mark.parametrize("area", COMPOSED)
def test_a_service_takes_its_settings(area: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, told = settings_of(area), PARTS[area]["environment"]
    known = {f"SUTLER_{area.upper()}_{name.upper()}" for name in kind.model_fields}
    assert set(told) <= known
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    settings = kind()
    assert settings.encrypted
    assert settings.authenticated
    assert settings.neighbour_ca
    assert settings.port == PORTS[area]
    assert settings.data == f"sqlite:////data/{area}.db"


def test_the_sandbox_takes_its_settings_and_is_reached_by_the_erp_service_alone() -> None:
    told = {key.removeprefix("SUTLER_SANDBOX_").lower() for key in PARTS["sandbox"]["environment"]}
    assert told <= set(SandboxSettings.model_fields)
    assert PARTS["sandbox"]["network_mode"] == "service:erp"


def test_the_gateway_takes_its_settings() -> None:
    known = {param.envvar for param in get_command(app).params}
    assert set(PARTS["gateway"]["environment"]) <= known
    assert PARTS["gateway"]["command"] == ["--run"]


def addresses(value: object) -> Iterator[str]:
    """Yields everything of the form host:port in the environment of a part."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from addresses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from addresses(inner)
    elif isinstance(value, str) and value.startswith(("{", "[")):
        yield from addresses(json.loads(value))
    elif isinstance(value, str):
        words = (word.rpartition("=")[2] for word in value.split())
        yield from (word for word in words if word.rpartition(":")[2].isdecimal() and "/" not in word)


def test_all_addresses_are_those_of_services() -> None:
    known = {f"{area}:{port}" for area, port in PORTS.items()}
    for name, part in PARTS.items():
        assert set(addresses(part.get("environment"))) <= known, name
    assert set(addresses(PARTS["gateway"]["environment"])) == known
    assert set(addresses(PARTS["rule"]["environment"])) == known


@pytest.mark.parametrize("name", sorted(set(PARTS) - {"certs"}))
def test_what_dies_is_started_again_and_its_health_is_looked_at(name: str) -> None:
    assert PARTS[name]["restart"] == "unless-stopped"
    command = " ".join(PARTS[name]["healthcheck"]["test"])
    assert str({**PORTS, "sandbox": 8069, "gateway": 9901}[name]) in command
    assert PARTS[name]["healthcheck"]["start_period"]


def test_the_certificate_names_all_that_are_called() -> None:
    assert set(PARTS["certs"]["command"]) >= {*AREAS, "gateway", "localhost", "127.0.0.1"}
    for name, part in PARTS.items():
        if name != "certs":
            assert part["depends_on"]["certs"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", PARTS)
def test_build_arguments_match(name: str) -> None:
    build = PARTS[name]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    declared = {i.words[0].partition("=")[0] for i in dockerfile() if i.name == "ARG"}
    assert set(build["args"]) == declared
    assert importlib.util.find_spec(f"{build['args']['SERVICE']}.__main__")


def test_each_part_runs_its_own_module() -> None:
    modules = {name: part["build"]["args"]["SERVICE"] for name, part in PARTS.items()}
    assert {name: modules[name] for name in COMPOSED} == {area: f"services.{area}" for area in COMPOSED}
    assert modules["sandbox"] == "services.erp.sandbox"
    assert modules["gateway"] == "deploy.envoy"


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    allowed = {line.removeprefix("!") for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()}
    for instruction in dockerfile():
        if instruction.name == "COPY" and not instruction.text.startswith("--from"):
            for source in instruction.words[:-1]:
                assert (ROOT / source).exists(), source
                assert source.partition("/")[0] in allowed, source


def test_the_image_runs_as_somebody_who_may_write_where_it_must() -> None:
    instructions = dockerfile()
    assert [i.text for i in instructions if i.name == "USER"] == ["sutler"]
    owned = next(i.text for i in instructions if "install --directory" in i.text)
    mounted = {volume.split(":")[1] for part in PARTS.values() for volume in part["volumes"]}
    assert all(folder in owned.split() for folder in mounted)


def runtime() -> set[str]:
    """Returns the packages that the image gets: those of the project with its extras, transitively."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = next(i.text for i in dockerfile() if ".whl" in i.text).rpartition("[")[2].partition("]")[0].split(",")
    waiting = [Requirement(r) for r in project["dependencies"]]
    waiting += [Requirement(r) for extra in extras for r in project["optional-dependencies"][extra]]
    found: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key not in found:
            found.add(key)
            waiting += _requirements(wanted)
    return {name for name, _ in found}


def for_clients() -> set[str]:
    """Returns the packages of values in caches: the client loads them only in a program that has such a value."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {canonicalize_name(Requirement(r).name) for extra in ("data", "dill") for r in extras[extra]}


def _requirements(wanted: Requirement) -> list[Requirement]:
    all_of_it = map(Requirement, distribution(wanted.name).requires or ())
    extras = wanted.extras or {""}
    return [r for r in all_of_it if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]


def imported(folder: str) -> set[str]:
    """Returns the top-level packages that the Python files of a folder import."""
    found: set[Any] = set()
    for file in (ROOT / folder).rglob("*.py"):
        if ROOT / "libs/sutler/testing" in file.parents:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"services", "deploy", "sutler", "buf", "google"}


@pytest.mark.parametrize("folder", ["libs", "services", "deploy"])
def test_the_image_has_all_that_is_imported(folder: str) -> None:
    owners = packages_distributions()
    packages = runtime() | for_clients()
    missing = {name for name in imported(folder) if not {canonicalize_name(d) for d in owners.get(name, ())} & packages}
    assert not missing


def test_the_gateway_finds_the_descriptor_set_where_the_image_has_it() -> None:
    from deploy.envoy.descriptors import DESCRIPTORS

    kept = next(i.words[-2:] for i in dockerfile() if "sutler.binpb" in i.text)
    assert Path(kept[1]) / Path(kept[0]).name == DESCRIPTORS.relative_to(ROOT)
