"""READMEs name what there is: every RPC, setting, make target."""

import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from sutler.contracts import modules, service_names
from sutler.settings import ServerSettings

from deploy.envoy.descriptors import gateway_services
from deploy.local.layout import AREAS
from tests.docs.snippets import readmes

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {area: service for service, area in gateway_services().items()}
READMES = readmes()


def words(path: Path) -> set[str]:
    return set(re.findall(r"[A-Za-z0-9_]+", (ROOT / path).read_text()))


def named_rpcs(text: str) -> str:
    """Returns the text with ``Get/ListThings`` spelled out as ``GetThings ListThings``."""

    def spell(match: re.Match[str]) -> str:
        verbs, noun = match[1].split("/"), match[2]
        return " ".join(f"{verb}{noun}" for verb in verbs)

    return re.sub(r"((?:[A-Z][a-z]+/)+[A-Z][a-z]+)([A-Z]\w+)", spell, text)


@pytest.mark.parametrize("area", AREAS)
def test_every_service_has_a_readme_and_a_row_in_the_table(area: str) -> None:
    assert (ROOT / f"services/{area}/README.md").is_file(), f"services/{area}/README.md is missing"
    assert f"\n| `{area}/` |" in (ROOT / "services/README.md").read_text(), f"services/README.md: no row of {area}/"


def first_cells(area: str, section: str) -> str:
    """Returns the first column of the table in a section of a service's README."""
    text = (ROOT / f"services/{area}/README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return "\n".join(rows[2:])


@pytest.mark.parametrize("area", AREAS)
def test_what_service_readme_calls_an_rpc_or_a_setting_is_one(area: str) -> None:
    modules()
    rpcs = set(re.findall(r"\w+", named_rpcs(first_cells(area, "RPCs"))))
    services = [descriptor_pool.Default().FindServiceByName(name) for name in service_names()]
    known = {service.name for service in services} | {method.name for each in services for method in each.methods}
    assert rpcs and rpcs <= known
    settings = __import__(f"services.{area}.settings", fromlist=["Settings"]).Settings
    named = {name.lower() for name in re.findall(r"`(?:SUTLER_[A-Z]+_)?(\w+)`", first_cells(area, "Settings"))}
    assert named and named <= set(settings.model_fields)


@pytest.mark.parametrize("area", AREAS)
def test_service_readme_names_every_rpc(area: str) -> None:
    modules()
    text = (ROOT / f"services/{area}/README.md").read_text()
    named = set(re.findall(r"\w+", named_rpcs(text))) | set(re.findall(r"\w+", text))
    rpcs = descriptor_pool.Default().FindServiceByName(SERVICES[area]).methods_by_name
    missing = sorted(set(rpcs) - named)
    assert not missing


@pytest.mark.parametrize("area", AREAS)
def test_service_readme_names_every_setting(area: str) -> None:
    settings = __import__(f"services.{area}.settings", fromlist=["Settings"]).Settings
    own = set(settings.model_fields) - set(ServerSettings.model_fields)
    named = {word.lower().removeprefix(f"sutler_{area}_") for word in words(Path(f"services/{area}/README.md"))}
    missing = sorted(own - named)
    assert not missing


def test_library_readme_names_every_shared_setting() -> None:
    missing = sorted(set(ServerSettings.model_fields) - {word.lower() for word in words(Path("libs/README.md"))})
    assert not missing


@pytest.mark.parametrize("path", READMES, ids=str)
def test_named_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", (ROOT / path).read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("path", READMES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / path).read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    dead = [link for link in links if not (ROOT / path.parent / link).exists()]
    assert not dead
