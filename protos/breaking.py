"""Checks that the contracts stay compatible with those on the main branch: ``python protos/breaking.py [REVISION]``.

buf cannot follow imports into the git-ignored third-party folder, so both sides are built into images and compared.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from gen import DESCRIPTORS, INCLUDE, ROOT, well_known


def base_revision() -> str | None:
    """Returns the revision to compare with: origin's main branch, else the last commit; None if there is neither."""
    for name in ("origin/main", "HEAD"):
        found = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", name], cwd=ROOT, capture_output=True, text=True
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return None


def build_base(revision: str, folder: Path) -> Path | None:
    """Writes the image of a revision's contracts and returns its path; None if it has no contracts."""
    archive = subprocess.run(["git", "archive", revision, "protos"], cwd=ROOT, capture_output=True)
    if archive.returncode != 0:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    protos = folder / "protos"
    names = [str(path.relative_to(protos)) for path in sorted(protos.rglob("*.proto"))]
    image = folder / "base.binpb"
    includes = [f"-I{protos}", f"-I{INCLUDE}", f"-I{well_known()}"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            *includes,
            "--include_imports",
            f"--descriptor_set_out={image}",
            *names,
        ],
        check=True,
    )
    return image


def main() -> int:
    """Compares, and returns buf's exit code."""
    revision = sys.argv[1] if len(sys.argv) > 1 else base_revision()
    if revision is None:
        print("breaking: nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        base = build_base(revision, Path(folder))
        if base is None:
            print(f"breaking: no contracts at {revision[:12]}")
            return 0
        buf = Path(sys.executable).parent / "buf"
        return subprocess.run(
            [buf, "breaking", DESCRIPTORS, "--against", base, "--exclude-imports"], cwd=ROOT
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
