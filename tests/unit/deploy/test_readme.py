from pathlib import Path

from typer.main import get_command

from deploy.envoy.__main__ import app
from deploy.envoy.replies import REPLIES
from deploy.local.__main__ import app as local

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "deploy/README.md").read_text()


def test_every_option_of_the_gateway_is_named() -> None:
    for param in get_command(app).params:
        assert f"`{param.opts[-1]}`" in TEXT or param.name == "help"


def test_every_error_of_the_gateway_is_named() -> None:
    told = {f"`{reply.reason}`" for reply in REPLIES if reply.reason not in ("INTERNAL", "OVERLOADED")}
    assert not {reason for reason in told if reason not in TEXT}


def test_every_port_that_can_be_moved_is_named() -> None:
    commands = get_command(local).commands  # type: ignore[attr-defined]
    moved = {param.envvar for param in commands["run"].params if param.envvar}
    assert "GATEWAY_PORT" in moved
    assert not {name for name in moved if f"`{name}`" not in TEXT}
