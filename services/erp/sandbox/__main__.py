"""Starts the sandbox: `python -m services.erp.sandbox --help`."""

import logging
import signal
import socket
import sys

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp

from services.erp.sandbox.app import running
from services.erp.sandbox.database import UnusableFile
from services.erp.sandbox.settings import Settings

log = logging.getLogger("sandbox")
BAD_SETTINGS, BAD_START = 2, 1


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = CliApp.run(Settings, cli_args=sys.argv[1:] if arguments is None else arguments)
    except ValidationError as error:
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"])
            print(f"sandbox: setting {name}: {problem['msg']}", file=sys.stderr)
        return BAD_SETTINGS
    try:
        listening = _listen(settings.host, settings.port)
    except OSError as error:
        print(f"sandbox: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return BAD_START
    try:
        _serve(settings, listening)
    except (UnusableFile, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return BAD_START
    return 0


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError:
        listening.close()
        raise
    return listening


def _serve(settings: Settings, listening: socket.socket) -> None:
    with listening, running(settings) as app:
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, date_header=False, lifespan="off"
            )
        )

        def stop(*_: object) -> None:
            server.should_exit = True

        # uvicorn has handlers of its own while it runs, and raises the signal again when it has stopped. These serve
        # before that and after it: an early signal is not lost, a clean stop does not end as if it had been killed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listening.getsockname()[1]}"
        speaks = "Odoo 19 JSON-2 and JSON-RPC" if settings.json2 else "Odoo 18 JSON-RPC"
        log.info("%s sandbox (not Odoo) on %s, data in %s", speaks, address, settings.data)
        server.run(sockets=[listening])
        log.info("sandbox stopped")


if __name__ == "__main__":
    sys.exit(main())
