from __future__ import annotations

from pathlib import Path

import pytest
from sutler.server import Running
from sutler.testing import free_port

from tests.unit.cli.conftest import Command, keep
from tests.unit.cli.rules import Rules, served

SECRET = "a secret of more than thirty-two bytes"


class TestStatus:
    def test_each_service_by_its_own_name(self, sutler: Command, server: Running) -> None:
        """This server has two of them."""
        answer = sutler("status", "-o", "json")
        assert answer.code == 1
        states = {row["service"]: row["state"] for row in answer.json}
        assert list(states) == ["resource", "cache", "erp", "rule", "provider"]
        assert {area for area, state in states.items() if state == "SERVING"} == {"resource", "rule"}
        assert {state for area, state in states.items() if area not in ("resource", "rule")} == {"NOT_HERE"}
        assert len(sutler("status", "-o", "yaml").yaml) == 5
        table = sutler("status").out
        assert (table.count("SERVING"), table.count("NOT_HERE")) == (2, 3)

    def test_all_serve(self, sutler: Command, server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.cli.status.AREAS", ("resource", "rule"))
        assert sutler("status").code == 0

    def test_none_answers(self, sutler: Command) -> None:
        address = f"127.0.0.1:{free_port()}"
        answer = sutler("--address", address, "status", "-o", "json")
        assert answer.code == 1
        assert {row["state"] for row in answer.json} == {"UNAVAILABLE"}
        table = sutler("--address", address, "status")
        assert (table.code, table.out) == (1, "") and table.err.count(address) == 1


class TestTarget:
    def test_token_from_the_environment_or_an_option(
        self, sutler: Command, rules: Rules, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(rules, "a")
        with served(rules, auth_secret=SECRET) as running:
            monkeypatch.setenv("SUTLER_ADDRESS", running.address)
            refused = sutler("get", "rules/a")
            assert refused.code == 1 and "CREDENTIALS_MISSING" in refused.err
            token = sutler("token", "--secret", SECRET, "--permission", "rule.rules.get").out.strip()
            assert sutler("--token", token, "get", "rules/a").code == 0
            assert "PERMISSION_MISSING" in sutler("--token", token, "get", "rules").err
            for given in (token, f"Bearer {token}"):
                monkeypatch.setenv("SUTLER_TOKEN", given)
                assert sutler("get", "rules/a").code == 0
            assert sutler("--tenant", "acme", "get", "rules/a").code == 1

    def test_tls(self, sutler: Command, rules: Rules, tmp_path: Path) -> None:
        made = sutler("certs", tmp_path / "certs")
        assert made.code == 0
        ca, certificate, key = made.out.split()
        keep(rules, "a")
        with served(rules, tls_cert=certificate, tls_key=key, neighbour_ca=ca) as running:
            assert sutler("--address", running.address, "--ca", ca, "get", "rules/a").code == 0
            assert sutler("--address", running.address, "--ca", tmp_path / "none", "get", "rules/a").code == 2
            without = sutler("--address", running.address, "get", "rules/a")
            assert without.code == 1 and "--ca" in without.err
            other = sutler("certs", tmp_path / "other").out.split()[0]
            wrong = sutler("--address", running.address, "--ca", other, "get", "rules/a")
            assert wrong.code == 1 and "--ca" in wrong.err

    def test_a_ca_for_a_server_without_tls(self, sutler: Command, server: Running, tmp_path: Path) -> None:
        ca = sutler("certs", tmp_path / "certs").out.split()[0]
        answer = sutler("--ca", ca, "get", "rules/a")
        assert answer.code == 1 and "leave out --ca" in answer.err

    def test_a_ca_that_is_none(self, sutler: Command, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("no certificate")
        answer = sutler("--ca", tmp_path / "ca.pem", "get", "rules/a")
        assert answer.code == 2 and "ca.pem" in answer.err

    @pytest.mark.parametrize("address", ["http://localhost:8080", "https://localhost:8080/", "localhost", ""])
    def test_an_address_that_is_none(self, sutler: Command, address: str) -> None:
        answer = sutler("--address", address, "get", "rules/a")
        assert answer.code == 2 and "host:port" in answer.err

    def test_another_service_there(self, sutler: Command, server: Running) -> None:
        answer = sutler("get", "caches")
        assert (answer.code, answer.out) == (1, "")
        assert f"{server.address} does not serve sutler.cache.v1.CacheService/ListCaches" in answer.err
        assert "this one serves sutler.resource.v1.ResourceService, sutler.rule.v1.RuleService" in answer.err

    def test_nobody_there(self, sutler: Command) -> None:
        address = f"127.0.0.1:{free_port()}"
        answer = sutler("--address", address, "get", "rules")
        assert answer.code == 1
        (line,) = answer.err.splitlines()
        for word in (address, "connection refused", "make run", "SUTLER_ADDRESS"):
            assert word in line
