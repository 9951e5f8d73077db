"""Sets up the logs of one process: one line per event, with the correlation id of the call."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog

from sutler.context import Call, Principal, current
from sutler.errors import Code, FailedPrecondition
from sutler.logfile import LogFile
from sutler.logstream import LogStream
from sutler.settings import ServerSettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

CALL = "rpc"
"""The event of the line of a call."""

CODES = {0: "OK", **{int(code): code.name for code in Code}}

CallLog = Callable[[str, Call, float], None]
"""Writes the line of a call that has ended: its level, the call, and how many seconds it took."""


def configure_logging(settings: ServerSettings) -> CallLog:
    """Makes structlog, and the standard library's logging, write one line per event with the call's correlation id.

    Returns:
        What writes the lines of calls. Where they are JSON it goes past structlog, which takes twice as long.

    Raises:
        FailedPrecondition: If the log file cannot be opened.
    """
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and settings.log_file is None and sys.stderr.isatty()
    )
    level = LEVELS[settings.log_level]
    log_call = _write_text(level) if as_text else _write_json(level, settings.log_file)
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)
    return log_call


def _write_text(level: int) -> CallLog:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_correlation_id,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=structlog.PrintLoggerFactory(LogStream(sys.stderr)),  # type: ignore[arg-type]
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    log = structlog.get_logger("sutler.rpc").bind()
    return lambda name, call, seconds: log.log(LEVELS[name], CALL, **_fields(*_ended(call, seconds)))


def _write_json(level: int, file: Path | None) -> CallLog:
    stream: Any = LogStream(sys.stderr.buffer) if file is None else _log_file(file)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_correlation_id,
            structlog.processors.format_exc_info,
            lambda _, __, event: _as_json(dict(event), time.time()),
        ],
        logger_factory=structlog.BytesLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )

    later = stream.write_later if file is not None else lambda make: stream.write(make())

    def log_call(name: str, call: Call, seconds: float) -> None:
        if LEVELS[name] >= level:
            later(partial(_call_line, name, time.time(), _ended(call, seconds)))
            stream.flush()

    return log_call


_Ended = tuple[str, int, float, str, str, Principal, str, dict[str, object]]


def _ended(call: Call, seconds: float) -> _Ended:
    """Returns what a line tells of a call, without what else hangs on the call."""
    return (
        call.method,
        call.code,
        seconds,
        call.correlation_id,
        call.tenant,
        call.principal,
        call.reason,
        call.log,
    )


def _fields(
    method: str,
    code: int,
    seconds: float,
    correlation_id: str,
    tenant: str,
    principal: Principal,
    reason: str,
    more: dict[str, object],
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "method": method,
        "code": CODES[code],
        "ms": round(seconds * 1000, 3),
        "correlation_id": correlation_id,
        "tenant": tenant,
        "principal": principal.actor,
    }
    if reason:
        fields["reason"] = reason
    return {**fields, **more} if more else fields


def _call_line(name: str, now: float, ended: _Ended) -> bytes:
    return _as_json({**_fields(*ended), "event": CALL, "level": name}, now) + b"\n"


def _as_json(event: dict[str, Any], now: float) -> bytes:
    event["timestamp"] = datetime.fromtimestamp(now, UTC)
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:  # a lone surrogate, an integer over 64 bits
        return json.dumps(event, default=str).encode()


def _log_file(path: Path) -> LogFile:
    try:
        return LogFile(path)
    except OSError as error:
        raise FailedPrecondition(
            f"log_file {path} cannot be opened ({error.strerror}): make its folder, or name another file",
            metadata={"path": str(path)},
        ) from error


def _add_correlation_id(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    call = current()
    if call.correlation_id:
        event.setdefault("correlation_id", call.correlation_id)
    return event


class _Forward(logging.Handler):
    """Hands log records of libraries to structlog, so that there is one format and one place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record. Never raises: gRPC logs in the middle of calls, which would have no end then."""
        try:
            structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)
        except Exception:
            self.handleError(record)
