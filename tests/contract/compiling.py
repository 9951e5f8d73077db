"""Compiles proto text to a descriptor set, with the include folders that protos/gen.py uses."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from grpc_tools import protoc  # type: ignore[import-untyped]

from tests.contract.descriptors import Contracts
from tests.contract.loading import parse

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "protos/README.md"
# Shared types that a contract under test may name without importing them.
SHARED_FILES = (
    "sutler/type/v1/error_reason.proto",
    "sutler/type/v1/operation.proto",
    "sutler/type/v1/permission.proto",
)


class CompileError(Exception):
    """protoc refused the text."""


@cache
def generator() -> ModuleType:
    """Returns protos/gen.py, which is a script and no package, as a module."""
    spec = importlib.util.spec_from_file_location("sutler_gen", ROOT / "protos/gen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_protos(sources: Mapping[str, str]) -> Contracts:
    """Compiles `sources` (path → text) together with the shared types; raises CompileError with protoc's words."""
    gen = generator()
    with tempfile.TemporaryDirectory() as folder:
        for path, text in sources.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        result = Path(folder, "set.binpb")
        includes = [f"-I{place}" for place in (folder, gen.PROTOS, gen.INCLUDE, gen.well_known())]
        flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={result}"]
        if protoc.main(["protoc", *includes, *flags, *sources, *SHARED_FILES]) != 0:
            raise CompileError(f"protoc refuses {', '.join(sources)}; see its message on stderr")
        return parse(result.read_bytes())


def readme_example() -> str:
    """Returns the Widget example of protos/README.md, a whole proto file."""
    found = re.findall(r"^```proto\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{README} has {len(found)} proto examples, not one"
    return str(found[0])
