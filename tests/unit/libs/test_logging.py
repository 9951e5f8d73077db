import logging

import pytest
from sutler.logs import configure_logging
from sutler.settings import ServerSettings


def test_a_record_that_cannot_be_written_ends_no_call(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(ServerSettings(log_format="json"))
    logging.getLogger("a.library").error("%d", "no number")
    logging.getLogger("a.library").error("goes on")
    assert "goes on" in capsys.readouterr().err
