from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from sutler.errors import OutOfRange

from tests.unit.cli.conftest import Command
from tests.unit.cli.rules import Rules

SECRET = "a secret of more than thirty-two bytes"


@pytest.mark.usefixtures("server")
class TestWatch:
    """The watch of this server ends with an error after four events."""

    @pytest.fixture(autouse=True)
    def _ends(self, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.cli.watching.RECONNECT_SECONDS", 0.01)
        rules.ends = OutOfRange("the end")

    def test_follows_over_broken_connections(self, sutler: Command, rules: Rules) -> None:
        rules.breaks = 2
        answer = sutler("watch", "events")
        assert answer.code == 1
        heading, *lines = answer.out.splitlines()
        assert heading.split() == ["TIME", "CHANGE", "NAME", "STATE", "TYPE"]
        times = ["2026-01-02T03:04:05Z", "ACCEPTED"]
        assert [line.split() for line in lines] == [[*times, f"events/e{n}", "order.confirmed"] for n in range(4)]
        assert "following events" in answer.err
        assert answer.err.count("trying again") == 2 and "the end" in answer.err

    def test_json_lines(self, sutler: Command) -> None:
        out = sutler("watch", "events", "-o", "json").out
        assert json.loads(out.splitlines()[0])["event"] == {"name": "events/e0", "type": "order.confirmed"}

    def test_yaml_documents(self, sutler: Command) -> None:
        out = sutler("watch", "events", "-o", "yaml").out
        assert out.count("---\n") == 4 and "name: events/e3" in out

    def test_unknown_feed(self, sutler: Command) -> None:
        answer = sutler("watch", "colours")
        assert answer.code == 1 and "events, machineRequests, machines, resources, subjects" in answer.err

    def test_help_lists_what_this_release_offers(self, sutler: Command) -> None:
        out = sutler("watch", "--help").out
        assert "events, machineRequests, machines, resources" in out


class TestToken:
    def test_what_it_says(self, sutler: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SUTLER_AUTH_SECRET", SECRET)
        words = ("--subject", "user:anna", "--permission", "rule.b.c", "--permission", "*.*.*:x/*", "--tenant", "acme")
        answer = sutler("token", *words, "--hours", 2, "--service")
        claims = jwt.decode(answer.out.strip(), SECRET, algorithms=["HS256"])
        assert (claims["sub"], claims["permissions"], claims["tenant"]) == (
            "user:anna",
            ["rule.b.c", "*.*.*:x/*"],
            "acme",
        )
        assert (claims["exp"] - claims["iat"], claims["service"]) == (7200, True)

    def test_secret(self, sutler: Command) -> None:
        made = sutler("token", "--new-secret").out.strip()
        assert len(made) >= 32
        assert sutler("token", "--secret", made).code == 0
        for words in ((), ("--secret", "short")):
            assert sutler("token", *words).code == 2

    @pytest.mark.parametrize(
        "permission", ["rules", "rule.rules", "colour.rules.get", "rule.rules.get:", "a b.c.d", ""]
    )
    def test_a_permission_that_is_none(self, sutler: Command, permission: str) -> None:
        answer = sutler("token", "--secret", SECRET, "--permission", permission)
        assert (answer.code, answer.out) == (2, "") and "--permission" in answer.err

    def test_help_says_what_is_granted_without_permissions(self, sutler: Command) -> None:
        assert "other tenants" in " ".join(sutler("token", "--help").out.replace("│", " ").split())


class TestCerts:
    def test_for_hosts(self, sutler: Command, tmp_path: Path) -> None:
        answer = sutler("certs", tmp_path / "new", "--host", "example.com", "--days", 3)
        assert answer.code == 0
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["ca.pem", "server.key", "server.pem"]

    def test_a_ca_is_replaced_only_by_force(self, sutler: Command, tmp_path: Path) -> None:
        assert sutler("certs", tmp_path).code == 0
        first = (tmp_path / "ca.pem").read_bytes()
        again = sutler("certs", tmp_path)
        assert again.code == 1 and "--force" in again.err
        assert (tmp_path / "ca.pem").read_bytes() == first
        assert sutler("certs", tmp_path, "--force").code == 0
        assert (tmp_path / "ca.pem").read_bytes() != first

    @pytest.mark.parametrize("host", ["bad host", "", "https://x", "a..b", "-x"])
    def test_a_host_that_is_none(self, sutler: Command, tmp_path: Path, host: str) -> None:
        answer = sutler("certs", tmp_path / "new", f"--host={host}")
        assert answer.code == 2 and not (tmp_path / "new").exists()

    def test_folder_that_cannot_be_made(self, sutler: Command, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        answer = sutler("certs", tmp_path / "file")
        assert answer.code == 1
        assert "Traceback" not in answer.err and str(tmp_path / "file") in answer.err


class TestShell:
    def test_wrong_use(self, sutler: Command) -> None:
        assert sutler("fly").code == 2
        assert sutler("get").code == 2
        assert sutler("get", "rules", "-o", "xml").code == 2

    def test_help_names_every_command(self, sutler: Command) -> None:
        out = sutler("--help").out
        for command in (
            "up",
            "status",
            "apply",
            "get",
            "delete",
            "watch",
            "history",
            "wait",
            "cancel",
            "invoke",
            "token",
            "certs",
            "erp",
            "rule",
        ):
            assert f" {command} " in out

    @pytest.mark.parametrize(
        ("words", "answers"),
        [
            ("sutler a", ["apply"]),
            ("sutler get machi", ["machineRequests", "machines"]),
            ("sutler watch mach", ["machineRequests", "machines"]),
        ],
    )
    def test_completion(self, words: str, answers: list[str]) -> None:
        at = str(len(words.split()) - 1)
        environment = {**os.environ, "_SUTLER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        program = "import sys; sys.argv[0] = 'sutler'; from sutler.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.stdout.split() == answers

    def test_help_loads_no_contract(self) -> None:
        program = "import sys; import sutler.cli; print([n for n in sys.modules if n == 'grpc' or '_pb2' in n])"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == "[]"

    def test_up_outside_of_a_checkout(self, sutler: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        answer = sutler("up")
        assert answer.code == 1 and "checkout" in answer.err
