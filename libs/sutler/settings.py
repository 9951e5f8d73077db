"""What every service can be told: one pydantic-settings class that each service extends with its own keys."""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from rich.console import Console

from sutler.auth import MIN_SECRET_BYTES

DATABASES = ("sqlite", "postgresql", "postgres")
"""How database URLs begin."""

SEPARATOR = "; "
"""Stands between the problems that one validator tells."""

AS_JSON = {"list_type": '["a", "b"]', "tuple_type": '["a", "b"]', "dict_type": '{"a": "b"}'}
"""What settings that are lists and maps look like, by pydantic's name of the problem."""

_left_out: ContextVar[frozenset[str]] = ContextVar("sutler_settings_left_out", default=frozenset())


class _Environment(EnvSettingsSource):
    """Environment variables. One that should be JSON and is not is left to the model, which tells all problems."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name not in _left_out.get()}


class ServerSettings(BaseSettings):
    """The settings that all services share. A service's class sets ``env_prefix`` to ``SUTLER_<AREA>_``."""

    model_config = SettingsConfigDict(extra="ignore", validate_default=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback with TLS and authentication only")
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="Processes that serve")
    worker_ports: Literal["shared", "own"] = Field(
        "shared", description="Workers share the port (SO_REUSEPORT) or each has its own: port, port + 10, port + 20 …"
    )
    transport: Literal["grpcio", "native"] = Field("grpcio", description="HTTP/2 engine; native has no TLS")
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM)")
    tls_key: Path | None = Field(None, description="Private key (PEM)")
    tls_client_ca: Path | None = Field(None, description="CA that client certificates must come from (PEM)")
    auth_jwks: str = Field("", description="File or URL of the JWKS whose keys sign tokens")
    auth_secret: SecretStr = Field(SecretStr(""), description="Shared secret that signs tokens, for development")
    auth_issuer: str = Field("", description="The only accepted issuer; any if empty")
    auth_audience: str = Field("", description="The audience that tokens must name; not checked if empty")
    service_token: SecretStr = Field(
        SecretStr(""), description="Token for calls to other services; made from auth_secret if empty"
    )
    neighbour_ca: Path | None = Field(None, description="CA of the other services (PEM); calls to them use TLS with it")
    data: str = Field("", description="Database URL: sqlite:///FILE or postgresql://…")
    drain_seconds: float = Field(10.0, ge=0, le=600, description="How long running calls may take after SIGTERM")
    drain_pause_seconds: float = Field(
        0.5, ge=0, le=60, description="Pause between NOT_SERVING and the end of accepting, for the gateway to notice"
    )
    log_file: Path | None = Field(None, description="File for log lines; standard error if not set")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else JSON")
    metrics_port: int = Field(0, ge=0, le=65535, description="Loopback port of the Prometheus endpoint; 0 is off")
    otlp_endpoint: str = Field("", description="OTLP/gRPC collector for traces and metrics; off if empty")
    trace_ratio: float = Field(0.01, ge=0, le=1, description="Share of traces sampled where the caller did not decide")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns where settings come from: arguments, then environment variables."""
        return init_settings, _Environment(settings_cls)

    @property
    def authenticated(self) -> bool:
        """Whether callers must show a token."""
        return bool(self.auth_jwks or self.auth_secret.get_secret_value())

    @property
    def encrypted(self) -> bool:
        """Whether the port speaks TLS."""
        return self.tls_cert is not None

    @field_validator("data")
    @classmethod
    def _known_database(cls, data: str) -> str:
        if data and data.partition("://")[0] not in DATABASES:
            raise ValueError("is no database URL: sqlite:///FILE or postgresql://USER@HOST/DATABASE")
        if data.startswith("sqlite:") and not re.match("sqlite:///.", data):
            raise ValueError("names no file: sqlite:///relative/FILE or, with four slashes, sqlite:////absolute/FILE")
        return data

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        problems = []
        secret = self.auth_secret.get_secret_value()
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            problems.append(
                f"auth_secret is shorter than {MIN_SECRET_BYTES} bytes: `sutler token --new-secret` makes one"
            )
        if self.workers > 1 and not self.port:
            problems.append("workers need a port: with port 0 each would listen on another one")
        if (self.tls_cert is None) != (self.tls_key is None):
            problems.append("tls_cert and tls_key belong together")
        if self.tls_client_ca and not self.tls_cert:
            problems.append("tls_client_ca needs tls_cert and tls_key")
        if self.transport == "native" and self.encrypted:
            problems.append("transport native has no TLS: use grpcio, or end TLS at the gateway on the same host")
        if secret and self.auth_jwks:
            problems.append("auth_jwks and auth_secret exclude each other")
        if self.host.startswith("unix:"):
            problems.append(f"host {self.host} is no address: a service listens on a port, not on a socket file")
        elif not is_loopback(self.host):
            if self.transport == "native":
                problems.append("transport native serves loopback only")
            if not self.encrypted:
                problems.append(f"host {self.host} is not loopback: set tls_cert and tls_key (see `sutler certs`)")
            if not self.authenticated:
                problems.append(f"host {self.host} is not loopback: set auth_jwks or auth_secret")
        if problems:
            raise ValueError(SEPARATOR.join(problems))
        return self


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


S = TypeVar("S", bound=BaseSettings)


def load_settings(kind: type[S]) -> S:
    """Reads the settings from the environment, or ends the process with code 2 and a list of all problems."""
    try:
        settings = kind()
        _tell_unknown(kind)
        return settings
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        _refuse(kind, [*found, *_hidden(kind, found)])


def _tell_unknown(kind: type[BaseSettings]) -> None:
    """Warns of environment variables that look like settings and are none."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    known = [f"{prefix}{name.upper()}" for name in kind.model_fields]
    if "SUTLER_WORKER" in os.environ:  # the process that started this one has told
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for name in sorted(name for name in os.environ if name.upper().startswith(prefix) and name.upper() not in known):
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        console.print(f"{name} is no setting and has no effect{hint}", markup=False)


def _hidden(kind: type[BaseSettings], found: list[ErrorDetails]) -> list[ErrorDetails]:
    """Returns the problems between settings, which pydantic does not look for while single ones are wrong."""
    wrong = frozenset(str(problem["loc"][0]) for problem in found if problem["loc"])
    if not wrong or any(kind.model_fields[name].is_required() for name in wrong):
        return []
    token = _left_out.set(wrong)
    try:
        kind()
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False, include_context=False)
    finally:
        _left_out.reset(token)
    return []


def _example(kind: type[BaseSettings], name: str, otherwise: str) -> str:
    """Returns what a setting looks like as JSON."""
    examples = kind.model_fields[name].examples
    return json.dumps(examples[0]) if examples else otherwise


def _refuse(kind: type[BaseSettings], problems: list[ErrorDetails]) -> NoReturn:
    prefix = str(kind.model_config.get("env_prefix", ""))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"The settings are not usable (each is an environment variable, {prefix} and its name in capitals):")
    for problem in problems:
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            for line in message.split(SEPARATOR):
                console.print(f"  {line}", markup=False)
            continue
        name, *below = problem["loc"]
        if problem["type"] in AS_JSON:
            message = f"must be JSON, such as {_example(kind, str(name), AS_JSON[problem['type']])}"
        where = f"{prefix}{str(name).upper()}" + "".join(f"[{part}]" for part in below)
        console.print(f"  {where}: {message}", markup=False)
    sys.exit(2)
