from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict
from sutler.process import for_worker, print_settings
from sutler.settings import ServerSettings, is_loopback, load_settings

SECRET = "a secret of more than thirty-two bytes"


class Settings(ServerSettings):
    """Settings of a service for tests."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_TEST_")

    addresses: tuple[str, ...] = Field((), description="JSON list of addresses")
    limits: dict[str, int] = Field({}, description="JSON object of limits")
    shelves: dict[str, dict[str, int]] = Field(
        {}, description="JSON object of shelves", examples=[{"a": {"height": 2}}]
    )
    low: int = Field(1, description="The least")
    high: int = Field(2, description="The most")

    @model_validator(mode="after")
    def _ordered(self) -> Settings:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Strict(Settings):
    needed: str = Field(description="Must be set")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SUTLER_")]:
        monkeypatch.delenv(name)


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"SUTLER_TEST_{name}", value)


def problems(capsys: pytest.CaptureFixture[str], kind: type[ServerSettings] = Settings) -> list[str]:
    """Returns the lines in which the settings are refused."""
    with pytest.raises(SystemExit) as ended:
        load_settings(kind)
    assert ended.value.code == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert "settings" in first
    return [line.strip() for line in lines]


class TestLoading:
    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        environment(monkeypatch, PORT="50", ADDRESSES='["a:1", "b:2"]', LIMITS='{"x": 1}', LOG_LEVEL="debug")
        found = load_settings(Settings)
        assert (found.port, found.addresses, found.limits, found.log_level) == (50, ("a:1", "b:2"), {"x": 1}, "debug")

    def test_all_problems_at_once(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        environment(
            monkeypatch,
            PORT="many",
            TRANSPORT="pigeon",
            ADDRESSES="a:1, b:2",
            LIMITS='{"x": "none"}',
            HOST="0.0.0.0",
            AUTH_SECRET="short",
            LOW="5",
        )
        found = problems(capsys)
        for start in (
            "SUTLER_TEST_PORT:",
            "SUTLER_TEST_TRANSPORT:",
            "SUTLER_TEST_ADDRESSES:",
            "SUTLER_TEST_LIMITS[x]:",
            "host 0.0.0.0 is not loopback: set tls_cert",
            "auth_secret is shorter",
        ):
            assert sum(line.startswith(start) for line in found) == 1, (start, found)
        assert len(found) == 6

    def test_a_misspelt_one_is_told(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        environment(monkeypatch, PROT="50", PORT="51")
        assert load_settings(Settings).port == 51
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("SUTLER_TEST_PROT ") and "SUTLER_TEST_PORT?" in line

    def test_problems_between_settings(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment(monkeypatch, LOW="5")
        assert problems(capsys) == ["low is above high"]

    def test_no_value_is_shown(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        environment(monkeypatch, AUTH_SECRET="hush", PORT="hush", LIMITS="hush", TRANSPORT="hush")
        assert not any("hush" in line for line in problems(capsys))

    def test_missing_one(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        environment(monkeypatch, PORT="many")
        found = problems(capsys, Strict)
        assert [line.partition(":")[0] for line in found] == ["SUTLER_TEST_PORT", "SUTLER_TEST_NEEDED"]


class TestRules:
    def problem(self, **settings: object) -> str:
        with pytest.raises(ValidationError) as caught:
            Settings(**settings)  # type: ignore[arg-type]
        return str(caught.value)

    @pytest.mark.parametrize(
        ("settings", "word"),
        [
            ({"tls_cert": Path("c")}, "tls_key"),
            ({"tls_key": Path("k")}, "tls_cert"),
            ({"tls_client_ca": Path("c")}, "tls_client_ca"),
            ({"transport": "native", "tls_cert": Path("c"), "tls_key": Path("k")}, "native"),
            ({"auth_secret": "x" * 31}, "auth_secret"),
            ({"auth_secret": SECRET, "auth_jwks": "keys.json"}, "auth_jwks"),
            ({"data": "mysql://x"}, "data"),
            ({"data": "sqlite://x.db"}, "data"),
            ({"data": "sqlite:///"}, "data"),
            ({"data": "foo.db"}, "data"),
            ({"host": "unix:/run/x"}, "unix:/run/x"),
            ({"workers": 2}, "port"),
            ({"port": 70000}, "port"),
            ({"workers": 0}, "workers"),
            ({"trace_ratio": 1.5}, "trace_ratio"),
            ({"log_level": "loud"}, "log_level"),
        ],
    )
    def test_table(self, settings: dict[str, object], word: str) -> None:
        assert word in self.problem(**settings)

    def test_loopback(self) -> None:
        for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"):
            assert is_loopback(host), host
        for host in (
            "0.0.0.0",
            "::",
            "[::]",
            "10.0.0.1",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example",
            "",
        ):
            assert not is_loopback(host), host

    def test_secrets_are_not_in_repr(self) -> None:
        made = Settings(auth_secret=SECRET, service_token="hush hush")  # type: ignore[arg-type]
        assert made.authenticated
        assert SECRET not in repr(made) and "hush" not in repr(made)


class TestWorkers:
    def test_own_ports(self) -> None:
        made = Settings(port=5000, workers=3, worker_ports="own", metrics_port=9000)
        assert [for_worker(made, n).port for n in range(3)] == [5000, 5010, 5020]
        assert [for_worker(made, n).metrics_port for n in range(3)] == [9000, 9001, 9002]

    def test_shared_port(self) -> None:
        made = Settings(port=5000, workers=3)
        assert [for_worker(made, n).port for n in range(3)] == [5000, 5000, 5000]
        assert for_worker(made, 2).metrics_port == 0


class Listed(Settings):
    """Settings whose default is a list of something."""

    plugins: tuple[str, ...] = Field(("*",), description="JSON list of plug-ins")


def test_every_setting_is_printed_as_it_is_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_settings(Listed)
    out = capsys.readouterr().out
    lines = out.splitlines()
    for name in Listed.model_fields:
        assert any(line.startswith(f"SUTLER_TEST_{name.upper()}=") for line in lines)
    assert {"SUTLER_TEST_ADDRESSES=[]", 'SUTLER_TEST_PLUGINS=["*"]', "SUTLER_TEST_TLS_CERT="} <= set(lines)
    told = " ".join(out.split())
    assert all(field.description and field.description in told for field in Listed.model_fields.values())


def test_what_must_be_json_shows_how(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTLER_TEST_ADDRESSES", "127.0.0.1:5")
    monkeypatch.setenv("SUTLER_TEST_SHELVES", "high")
    with pytest.raises(SystemExit):
        load_settings(Listed)
    told = capsys.readouterr().err
    assert 'SUTLER_TEST_ADDRESSES: must be JSON, such as ["a", "b"]' in told
    assert 'SUTLER_TEST_SHELVES: must be JSON, such as {"a": {"height": 2}}' in told
