from __future__ import annotations

import pytest
from sutler.errors import DataLoss, Exhausted, FailedPrecondition, SutlerError
from sutler.process import message_of
from sutler.settings import ServerSettings
from sutler.store import failures
from sutler.store.location import place_of


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///.sutler/cache.db", ".sutler/cache.db"),
        ("sqlite:////var/a%20b.db", "/var/a b.db"),
        ("postgresql://anna:secret@db.example:5433/shop?schema=x&password=secret", "postgresql://db.example:5433/shop"),
        ("postgresql://127.0.0.1/shop", "postgresql://127.0.0.1/shop"),
    ],
)
def test_the_operator_is_told_where_a_database_is_but_no_secret(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (failures.damaged(), True),
        (failures.full(), True),
        (DataLoss("it is damaged", metadata={"path": "/var/other.db"}), False),
        (FailedPrecondition("it is something else"), False),
        (Exhausted("too many wait"), False),
    ],
)
def test_an_error_of_the_store_names_the_database_to_the_operator_once(error: SutlerError, named: bool) -> None:
    message = message_of(error, ServerSettings(data="sqlite:////var/cache.db"))
    assert message.startswith(error.message)
    assert ("/var/cache.db" in message) == named
