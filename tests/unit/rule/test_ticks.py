"""When schedules fire: expressions, time zones, clock changes, leap days."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rule.cron import cron_faults, zone_faults
from services.rule.ticks import Ticks

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def shown(ticks: list[float], zone: str = "UTC") -> list[str]:
    return [datetime.fromtimestamp(tick, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %z") for tick in ticks]


def following(cron: str, zone: str, start: str, count: int) -> list[str]:
    ticks, found, now = Ticks(cron, zone), [], at(start, zone)
    for _ in range(count):
        tick = ticks.after(now)
        assert tick is not None
        found.append(tick)
        now = tick
    return shown(found, zone)


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("*/15 * * * *", "2026-01-01T00:14:59.9", "2026-01-01 00:15:00 +0000"),
        ("*/15 * * * *", "2026-01-01T00:15:00", "2026-01-01 00:30:00 +0000"),
        ("30 0 12 * * *", "2026-01-01T12:00:30", "2026-01-02 12:00:30 +0000"),
        ("@hourly", "2026-01-01T00:00:00", "2026-01-01 01:00:00 +0000"),
        (" @Daily ", "2026-01-01T00:00:00", "2026-01-02 00:00:00 +0000"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04 00:00:00 +0000"),
        ("@monthly", "2026-01-01T00:00:00", "2026-02-01 00:00:00 +0000"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01 00:00:00 +0000"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29 00:00:00 +0000"),
        ("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29 00:00:00 +0000"),
        ("0 0 31 * *", "2026-01-31T00:00:00", "2026-03-31 00:00:00 +0000"),
        ("0 0 L * *", "2028-02-01T00:00:00", "2028-02-29 00:00:00 +0000"),
        ("0 9 * * MON-FRI", "2026-01-02T09:00:00", "2026-01-05 09:00:00 +0000"),
        ("0 0 13 * FRI", "2026-01-01T00:00:00", "2026-01-02 00:00:00 +0000"),  # either, as in cron
    ],
)
def test_the_next_tick(cron: str, start: str, expected: str) -> None:
    assert following(cron, "UTC", start, 1) == [expected]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_tick_that_the_clock_leaves_out_comes_right_after(cron: str) -> None:
    assert following(cron, BERLIN, "2026-03-28T00:00:00", 3) == [
        "2026-03-28 02:30:00 +0100",
        "2026-03-29 03:00:00 +0200",
        "2026-03-30 02:30:00 +0200",
    ]


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_tick_that_comes_twice_fires_the_first_time(cron: str) -> None:
    assert following(cron, BERLIN, "2026-10-24T12:00:00", 2) == [
        "2026-10-25 02:30:00 +0200",
        "2026-10-26 02:30:00 +0100",
    ]


def test_many_ticks_that_are_left_out_are_one() -> None:
    assert following("*/20 2 * * *", BERLIN, "2026-03-29T00:00:00", 2) == [
        "2026-03-29 03:00:00 +0200",
        "2026-03-30 02:00:00 +0200",
    ]


def test_every_hour_is_every_hour_that_passes() -> None:
    assert following("30 * * * *", BERLIN, "2026-10-25T01:00:00", 4) == [
        "2026-10-25 01:30:00 +0200",
        "2026-10-25 02:30:00 +0200",
        "2026-10-25 02:30:00 +0100",
        "2026-10-25 03:30:00 +0100",
    ]
    assert following("30 * * * *", BERLIN, "2026-03-29T01:00:00", 2) == [
        "2026-03-29 01:30:00 +0100",
        "2026-03-29 03:30:00 +0200",
    ]


def test_clocks_that_change_at_midnight_or_by_half_an_hour() -> None:
    assert following("15 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00", 1) == ["2026-04-24 01:00:00 +0300"]
    assert following("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00", 1) == ["2026-10-04 02:30:00 +1100"]
    assert following("0 12 * * *", "Pacific/Apia", "2011-12-29T13:00:00", 1) == ["2011-12-31 00:00:00 +1400"]


def test_a_tick_in_the_second_of_two_hours_is_not_found_again() -> None:
    again = at("2026-10-25T02:10:00+01:00")
    assert shown([Ticks("30 2 * * *", BERLIN).after(again) or 0.0], BERLIN) == ["2026-10-26 02:30:00 +0100"]


def test_the_end_of_the_calendar_is_the_end_of_ticks() -> None:
    assert Ticks("0 0 1 1 *").after(datetime(9999, 6, 1, tzinfo=UTC).timestamp()) is None


def test_the_latest_ticks() -> None:
    ticks = Ticks("0 * * * *")
    since, until = at("2026-01-01T00:00:00"), at("2026-01-03T10:30:00")
    assert shown(ticks.latest(since, until)) == ["2026-01-03 10:00:00 +0000"]
    assert shown(ticks.latest(since, until, 2)) == ["2026-01-03 09:00:00 +0000", "2026-01-03 10:00:00 +0000"]
    assert len(ticks.latest(since, until, 1000)) == 59
    assert ticks.latest(since, since) == [since]
    assert ticks.latest(since + 1, since + 2) == []


EXPRESSIONS = [
    "*/7 * * * *",
    "0 */3 * * *",
    "30 2 * * *",
    "*/20 1-3 * * *",
    "15 0 * * SUN",
    "5 * 25 10 *",
    "0 0 2 * * *",
]
ZONES = ["UTC", BERLIN, "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]

CHANGES = ["", "2026-03-29T01:00:00", "2026-10-25T01:00:00", "2026-03-08T05:00:00", "2026-11-01T05:00:00"]


@settings(deadline=None, max_examples=60)
@given(
    cron=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
    start=st.integers(int(at("2024-01-01T00:00:00")), int(at("2028-01-01T00:00:00"))),
    change=st.sampled_from(
        ["", "2026-03-29T01:00:00", "2026-10-25T01:00:00", "2026-03-08T05:00:00", "2026-11-01T05:00:00"]
    ),
    hours=st.integers(1, 72),
)
def test_forwards_and_backwards_are_the_same(cron: str, zone: str, start: int, change: str, hours: int) -> None:
    ticks = Ticks(cron, zone)
    since = at(change) - start % 86_400 if change else float(start)
    until = since + hours * 3600
    found, now = [], since - 1
    while (tick := ticks.after(now)) is not None and tick <= until:
        assert tick > now
        found.append(tick)
        now = tick
    assert ticks.latest(since, until, 10_000) == found
    assert ticks.latest(since, until) == found[-1:]


@pytest.mark.parametrize(
    ("cron", "cause", "position"),
    [
        ("61 * * * *", "'61' is no minute", "1:1"),
        ("0 0 * FOO *", "'FOO' is no month", "1:7"),
        ("0  25 * * *", "'25' is no hour", "1:4"),
        ("60 0 0 * * *", "'60' is no second", "1:1"),
        ("0 0 32 * *", "'32' is no day of the month", "1:5"),
        ("0 0 * * 5#6", "'5#6' is no day of the week", "1:9"),
        ("*/0 * * * *", "'*/0' is no minute", "1:1"),
        ("* * * *", "it has 4 fields", ""),
        (" ", "it has 0 fields", ""),
        ("@dayly", "'@dayly' is no name of an expression", ""),
        ("0 0 31 2 *", "never fires", ""),
        ("0 0 30,31 2 *", "never fires", ""),
        ("0 0 */31 2 0#5", "never fires", ""),
    ],
)
def test_what_is_wrong_with_an_expression_is_told_with_its_place(cron: str, cause: str, position: str) -> None:
    (fault,) = cron_faults(cron, "cron")
    assert fault.metadata == {"cron": cron, "cause": cause, **({"position": position} if position else {})}
    assert fault.reason == "CRON_INVALID"
    assert "write" in fault.description or "name a day" in fault.description


def test_all_wrong_fields_are_told() -> None:
    assert [fault.metadata["position"] for fault in cron_faults("99 99 * * BAR", "cron")] == ["1:1", "1:4", "1:11"]


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-#LW@ MONJAN٣\t", max_size=30))
def test_whatever_is_written_is_read_or_refused(cron: str) -> None:
    if not list(cron_faults(cron, "cron")):
        assert Ticks(cron, BERLIN).after(at("2026-01-01T00:00:00")) is not None


def test_time_zones() -> None:
    assert not list(zone_faults("", "time_zone"))
    assert not list(zone_faults("Asia/Kathmandu", "time_zone"))
    for unknown in ("Europe/Atlantis", "Europe", "../etc/passwd", "posixrules"):
        (fault,) = zone_faults(unknown, "time_zone")
        assert (fault.reason, fault.metadata) == ("TIME_ZONE_UNKNOWN", {"time_zone": unknown})
    (fault,) = zone_faults("Europe/Berlim", "time_zone")
    assert "Europe/Berlin" in fault.description
