"""write_date as a poller meets it: microseconds inside, seconds outside, the start of the call as its time."""

from datetime import timedelta
from typing import Any

import pytest

from services.erp.sandbox.errors import BadValue
from tests.unit.erp_sandbox.conftest import Sandbox

WINDOW_FIELDS = ["id", "write_date"]


def _changed(sandbox: Sandbox, domain: list[Any], **keywords: Any) -> list[int]:
    found = sandbox("res.partner", "search_read", domain, fields=WINDOW_FIELDS, **keywords)
    return [record["id"] for record in found]


def test_equality_with_the_sent_value_finds_nothing_and_greater_finds_the_row_again(sandbox: Sandbox) -> None:
    one = sandbox("res.partner", "create", {"name": "One"})
    sent = sandbox.field("res.partner", one, "write_date")

    assert sent == "2026-11-21 10:00:00"
    assert sandbox("res.partner", "search", [["id", "=", one], ["write_date", "=", sent]]) == []
    assert sandbox("res.partner", "search", [["id", "=", one], ["write_date", ">", sent]]) == [one]
    assert sandbox("res.partner", "search", [["id", "=", one], ["write_date", "=", f"{sent}.250000"]]) == [one]


def test_a_day_means_its_end_for_greater_and_its_start_for_less(sandbox: Sandbox) -> None:
    assert sandbox("res.partner", "search_count", [["write_date", ">", "2026-11-21"]]) == 0
    assert sandbox("res.partner", "search_count", [["write_date", ">=", "2026-11-21"]]) > 0
    assert sandbox("res.partner", "search_count", [["write_date", "<", "2026-11-21"]]) == 0


def test_paging_on_the_sent_date_loops_but_closed_windows_meet_every_row_once(sandbox: Sandbox) -> None:
    sandbox.wait(5)
    since = (sandbox.now + timedelta(seconds=-1)).strftime("%Y-%m-%d %H:%M:%S")
    created = sandbox("res.partner", "create", [{"name": f"Row {number}"} for number in range(7)])
    sandbox.wait(10)
    until = sandbox.now.strftime("%Y-%m-%d %H:%M:%S")
    sent = sandbox.field("res.partner", created[2], "write_date")

    page = ["|", ["write_date", ">", sent], "&", ["write_date", "=", sent], ["id", ">", created[2]]]
    again = _changed(sandbox, page, order="write_date asc, id asc", limit=3)
    assert again == created[:3]

    met: list[int] = []
    window = [["write_date", ">=", since], ["write_date", "<", until]]
    while True:
        rows = _changed(sandbox, [*window, ["id", ">", met[-1] if met else 0]], order="id", limit=3)
        if not rows:
            break
        met += rows
    assert met == created


def test_a_slow_call_becomes_visible_with_a_date_before_its_commit(sandbox: Sandbox) -> None:
    began = sandbox.now
    sandbox.wait(3)
    seen_until = sandbox.now.strftime("%Y-%m-%d %H:%M:%S")
    window = [["write_date", "<", seen_until]]
    before = set(_changed(sandbox, window))

    sandbox.now = began
    late = sandbox("res.partner", "create", {"name": "Late"})

    assert set(_changed(sandbox, window)) - before == {late}


def test_every_write_stamps_and_a_line_stamps_its_order_if_the_amount_changes(sandbox: Sandbox) -> None:
    line = sandbox.field("sale.order", 1, "order_line")[0]
    sandbox.wait(2)
    sandbox("sale.order.line", "write", [line], {"product_uom_qty": 9})
    assert sandbox.field("sale.order", 1, "write_date") == "2026-11-21 10:00:02"

    sandbox.wait(2)
    sandbox("sale.order.line", "write", [line], {"name": "Other words"})
    assert sandbox.field("sale.order", 1, "write_date") == "2026-11-21 10:00:02"
    assert sandbox.field("sale.order.line", line, "write_date") == "2026-11-21 10:00:04"

    sandbox.wait(2)
    sandbox("sale.order", "write", [1], {})
    assert sandbox.field("sale.order", 1, "write_date") == "2026-11-21 10:00:06"


def test_deleted_rows_never_show_and_archived_ones_only_when_asked_for(sandbox: Sandbox) -> None:
    archived, deleted = sandbox("res.partner", "create", [{"name": "Archived"}, {"name": "Deleted"}])
    sandbox.wait(1)
    sandbox("res.partner", "write", [archived], {"active": False})
    sandbox("res.partner", "unlink", [deleted])
    since = [["write_date", ">=", "2026-11-21 10:00:01"]]

    assert _changed(sandbox, since) == []
    assert _changed(sandbox, since, context={"active_test": False}) == [archived]


def test_a_written_time_has_seconds_only(sandbox: Sandbox) -> None:
    sandbox("sale.order", "write", [1], {"commitment_date": "2026-12-01 08:30:00"})
    assert sandbox.field("sale.order", 1, "commitment_date") == "2026-12-01 08:30:00"

    with pytest.raises(BadValue):
        sandbox("sale.order", "write", [1], {"commitment_date": "2026-12-01 08:30:00.5"})
