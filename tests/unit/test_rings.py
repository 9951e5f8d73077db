"""The part of the rings that import-linter cannot see: generated stubs are no modules to it."""

import ast
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from deploy.local.layout import AREAS

SERVICES = Path(__file__).resolve().parents[2] / "services"
OUTER = {"app.py", "__main__.py", "settings.py", "servicer.py", "wire.py", "adapters.py"}
DOMAIN = sorted(p for area in SERVICES.iterdir() if area.is_dir() for p in area.glob("*.py") if p.name not in OUTER)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("path", DOMAIN, ids=lambda p: str(p.relative_to(SERVICES)))
def test_domain_imports_no_stub_and_no_outer_ring(path: Path) -> None:
    outer = [f"services.{path.parent.name}.{ring}" for ring in ("adapters", "servicer", "wire", "app")]
    wrong = [name for name in imports(path) if ".v1" in name or any(name.startswith(ring) for ring in outer)]
    assert not wrong


@pytest.mark.parametrize("area", AREAS)
def test_import_linter_looks_at_every_service(area: str) -> None:
    contracts = tomllib.loads((SERVICES.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    lists = {c["name"]: c["modules"] if c["type"] == "independence" else c["containers"]
             for c in contracts if c["type"] in ("independence", "layers")}  # fmt: skip
    assert len(lists) == 2
    for name, patterns in lists.items():
        module = f"services.{area}"
        assert any(fnmatch(module, each) for each in patterns), f'pyproject.toml: add "{module}" to "{name}"'


def test_there_is_a_domain_to_look_at() -> None:
    assert len(DOMAIN) > 50
