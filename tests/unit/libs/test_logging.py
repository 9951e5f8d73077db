import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sutler.context import Call, Principal
from sutler.logs import configure_logging
from sutler.settings import ServerSettings
from sutler.testing import wait_blocking


def test_a_record_that_cannot_be_written_ends_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(ServerSettings(log_format="json"))
    logging.getLogger("a.library").error("%d", "no number")
    logging.getLogger("a.library").error("goes on")
    assert "goes on" in capsys.readouterr().err


def test_the_line_of_a_call_tells_what_it_was(tmp_path: Path) -> None:
    log = configure_logging(ServerSettings(log_format="json", log_file=tmp_path / "log"))
    call = Call("/a.B/C", Principal("user:anna"), "shop", "id", code=5, reason="GONE", log={"rows": 3})
    log("info", call, 0.0123456)
    log("warning", Call("/a.B/D", Principal("user:\ud800"), log={"large": 1 << 70}), 1.0)
    wait_blocking(lambda: (tmp_path / "log").read_bytes().count(b"\n") == 2)
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert datetime.now(UTC) - datetime.fromisoformat(first.pop("timestamp")) < timedelta(seconds=30)
    assert first == {
        "method": "/a.B/C",
        "code": "NOT_FOUND",
        "ms": 12.346,
        "correlation_id": "id",
        "tenant": "shop",
        "principal": "user:anna",
        "reason": "GONE",
        "rows": 3,
        "event": "rpc",
        "level": "info",
    }
    assert (second["principal"], second["large"]) == ("user:\ud800", 1 << 70)
