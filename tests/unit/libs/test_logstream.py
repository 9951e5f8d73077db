from __future__ import annotations

import errno
import io
import logging
import sys

import pytest
import structlog
from sutler.logs import configure_logging
from sutler.logstream import LogStream
from sutler.settings import ServerSettings


class Gone:
    """A stream that takes nothing: its disk is full, or its reader has gone."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "no space")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_standard_error_that_takes_nothing_fails_nobody(monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    gone = Gone()
    gone.buffer = gone  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stderr", gone)
    configure_logging(ServerSettings(log_format=format))  # type: ignore[arg-type]
    structlog.get_logger("test").error("lost")
    logging.getLogger("test").error("lost")


def test_a_stream_passes_on_what_it_can() -> None:
    stream = io.StringIO()
    log = LogStream(stream)
    assert log.write("line\n") == 5
    log.flush()
    assert stream.getvalue() == "line\n"
