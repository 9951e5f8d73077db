"""Makes everything that follows from the contracts: stubs, one descriptor set, the third-party include folder.

Run it as ``python protos/gen.py``; it does nothing when the contracts have not changed. Written are

* ``.build/include/``: third-party protos (Google's from the installed wheel, buf's from a pinned sdist),
* ``.build/sutler.binpb``: the descriptor set (imports and comments included) for Envoy, buf and the contract tests,
* ``libs/sutler/<area>/v1/`` and ``libs/buf/``: Python stubs with types.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
LIBS = ROOT / "libs"
BUILD = ROOT / ".build"
INCLUDE = BUILD / "include"
DESCRIPTORS = BUILD / "sutler.binpb"
STAMP = BUILD / "gen.stamp"

# The last sdist that ships buf/validate/validate.proto; protovalidate 2.x embeds the same file.
VALIDATE_SDIST = "protovalidate==1.2.0"
VALIDATE_SHA256 = "4cb9a5065f32abc9baf2cf25c5bd09a139f7dffb7b8692f636a8e3e6883bb9a2"

# Named by no contract, but Envoy needs them to write JSON error bodies.
ERROR_PROTOS = ["google/rpc/status.proto", "google/rpc/error_details.proto"]


def contracts() -> list[str]:
    """Returns the project's proto files, relative to ``protos/``, sorted."""
    return sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))


def fingerprint() -> str:
    """Returns a digest of all that the output depends on: contracts, this file, tool versions."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for tool in ("grpcio-tools", "mypy-protobuf", "googleapis-common-protos"):
        digest.update(f"{tool}={version(tool)}\n".encode())
    for name in contracts():
        digest.update(name.encode() + b"\0" + (PROTOS / name).read_bytes())
    return digest.hexdigest()


def copy_google_protos() -> None:
    """Copies Google's protos from the googleapis-common-protos wheel."""
    spec = importlib.util.find_spec("google.rpc")
    assert spec is not None and spec.submodule_search_locations
    google = Path(next(iter(spec.submodule_search_locations))).parent
    for part in ("api", "rpc", "type", "longrunning"):
        for proto in (google / part).glob("*.proto"):
            # The wheel stores operations.proto under another file name than its Python code registers.
            name = "operations.proto" if proto.name == "operations_proto.proto" else proto.name
            target = INCLUDE / "google" / part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(proto, target)


def fetch_validate_proto() -> None:
    """Fetches buf/validate/validate.proto from the pinned sdist and checks the archive's SHA-256."""
    target = INCLUDE / "buf/validate/validate.proto"
    if target.exists():
        return
    name, _, pinned = VALIDATE_SDIST.partition("==")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, VALIDATE_SDIST],
            cwd=folder,
            check=True,
        )
        archive = Path(folder) / f"{name}-{pinned}.tar.gz"
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != VALIDATE_SHA256:
            raise SystemExit(f"{archive.name}: SHA-256 is {found}, expected {VALIDATE_SHA256}; refusing to use it")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"{name}-{pinned}/upstream/proto/buf/validate/validate.proto")
            assert member is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())


def well_known() -> str:
    """Returns the include folder with google/protobuf/*.proto that comes with grpcio-tools."""
    spec = importlib.util.find_spec("grpc_tools")
    assert spec is not None and spec.origin
    return str(Path(spec.origin).parent / "_proto")


def protoc(*args: str) -> None:
    """Runs protoc over the contracts; its error output goes straight to the caller."""
    bin_dir = str(Path(sys.executable).parent)
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{INCLUDE}", f"-I{well_known()}", *args],
        check=True,
        env={**os.environ, "PATH": bin_dir + os.pathsep + os.environ["PATH"]},
    )


def clear_stubs() -> None:
    """Removes stubs of earlier runs, so that a renamed contract leaves none behind."""
    shutil.rmtree(LIBS / "buf", ignore_errors=True)
    for folder in (LIBS / "sutler").glob("*/v1"):
        shutil.rmtree(folder)


def write_packages() -> None:
    """Gives every folder of stubs an ``__init__.py``, so that mypy and the wheel see packages."""
    folders = {(LIBS / name).parent for name in contracts()} | {LIBS / "buf", LIBS / "buf/validate"}
    for folder in folders:
        (folder / "__init__.py").touch()


def complete() -> bool:
    """Returns whether all that an earlier run wrote is still there."""
    stubs = [LIBS / name.replace(".proto", "_pb2.py") for name in (*contracts(), "buf/validate/validate.proto")]
    return all(file.exists() for file in (STAMP, DESCRIPTORS, *stubs))


def main() -> None:
    """Generates everything, unless nothing has changed since the last run."""
    digest = fingerprint()
    if complete() and STAMP.read_text() == digest:
        return
    copy_google_protos()
    fetch_validate_proto()
    clear_stubs()
    names = contracts()
    stubs = [*names, "buf/validate/validate.proto"]
    protoc(f"--python_out={LIBS}", f"--mypy_out=quiet:{LIBS}", *stubs)
    services = [name for name in names if "\nservice " in (PROTOS / name).read_text()]
    protoc(f"--grpc_python_out={LIBS}", f"--mypy_grpc_out=quiet,only_async:{LIBS}", *services)
    protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={DESCRIPTORS}", *names, *ERROR_PROTOS)
    write_packages()
    STAMP.write_text(digest)
    print(f"generated stubs for {len(names)} contracts")


if __name__ == "__main__":
    main()
