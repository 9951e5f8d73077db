"""Tryton from the package index: an environment and a template database for each version, made once."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PINS = ROOT / "deploy" / "tryton"
VERSIONS = ("7.0", "8.2")
DATABASE = "demo"
PASSWORD = "secret-of-admin"
MODULES = ("party", "product", "sale", "account")
COMMAND_SECONDS = 300


@dataclass(frozen=True)
class Installation:
    """One version of Tryton in a folder of its own; ``template`` is a database that servers work on copies of."""

    version: str
    folder: Path

    @property
    def template(self) -> Path:
        return self.folder / "template" / f"{DATABASE}.sqlite"

    @property
    def complete(self) -> Path:
        """Exists once all is installed, and names the pins that it was made of."""
        return self.folder / "complete"

    def command(self, name: str) -> str:
        return str(self.folder / "venv" / "bin" / name)

    def configure(self, data: Path, port: int = 0) -> Path:
        """Write a configuration for a server on databases in a folder."""
        path = data / "trytond.conf"
        path.write_text(f"[database]\nuri = sqlite://\npath = {data}\n[web]\nlisten = 127.0.0.1:{port}\n", "utf-8")
        return path


def installed(version: str, fill: Callable[[Installation], None]) -> Installation:
    """Return an installation, made first if it is not there or if what it is made of changed; others meanwhile wait.

    Args:
        version: Which.
        fill: Fills the template once it is there.
    """
    folder = ROOT / ".build" / "tryton" / version
    folder.mkdir(parents=True, exist_ok=True)
    one = Installation(version, folder)
    with _locked(folder / "lock"):
        sources = [PINS / f"{version}.txt", Path(__file__), Path(__file__).with_name("template.py")]
        wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        if not one.complete.exists() or one.complete.read_text("utf-8") != wanted:
            one.complete.unlink(missing_ok=True)
            _install(one)
            _initialize(one)
            fill(one)
            one.complete.write_text(wanted, "utf-8")
    return one


def _install(one: Installation) -> None:
    pins = (PINS / f"{one.version}.txt").read_text("utf-8")
    kept = one.folder / "venv" / "pins.txt"
    if kept.exists() and kept.read_text("utf-8") == pins:
        return
    shutil.rmtree(one.folder / "venv", ignore_errors=True)
    venv.create(one.folder / "venv", with_pip=True)
    _run([one.command("python"), "-m", "pip", "install", "--quiet", "--requirement", str(PINS / f"{one.version}.txt")])
    kept.write_text(pins, "utf-8")


def _initialize(one: Installation) -> None:
    shutil.rmtree(one.template.parent, ignore_errors=True)
    one.template.parent.mkdir()
    one.template.touch()
    secret = one.folder / "password"
    secret.write_text(PASSWORD, "utf-8")
    settings = one.configure(one.template.parent)
    command = [one.command("trytond-admin"), "-c", str(settings), "-d", DATABASE, "--email", "admin@example.test"]
    _run([*command, "-u", *MODULES, "--activate-dependencies"], TRYTONPASSFILE=str(secret))


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
