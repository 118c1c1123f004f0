"""Days in time zones: ahead of UTC and behind it, with clocks that are set forward and back."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from core.days import beginning_of, last_second_of, today_in

ZONES = [
    "UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago",
    "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "America/St_Johns",
]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "day", "beginning", "hours"),
    [
        ("America/Los_Angeles", date(2026, 7, 1), "2026-07-01T07:00:00Z", 24),
        ("Asia/Kathmandu", date(2026, 7, 1), "2026-06-30T18:15:00Z", 24),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00Z", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00:00Z", 25),
        ("Australia/Lord_Howe", date(2026, 10, 4), "2026-10-03T13:30:00Z", 23.5),
        # Here the clocks are set from 00:00 to 01:00, so that the day has no midnight.
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00:00Z", 23),
        # Here they are set from 01:00 to 00:00, so that it has two.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00Z", 25),
    ],
)
def test_a_day_lasts_from_its_first_instant_to_its_last_second(
    zone: str, day: date, beginning: str, hours: float
) -> None:
    start, last = beginning_of(day, ZoneInfo(zone)), last_second_of(day, ZoneInfo(zone))

    assert start == datetime.fromisoformat(beginning)
    assert last - start == timedelta(hours=hours, seconds=-1)


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2037, 12, 31)))
def test_each_day_begins_when_the_day_before_has_ended(zone: str, day: date) -> None:
    start = beginning_of(day, ZoneInfo(zone))

    assert last_second_of(day - timedelta(days=1), ZoneInfo(zone)) + timedelta(seconds=1) == start
    assert start.astimezone(ZoneInfo(zone)).date() == day


@freeze_time("2026-07-01T23:30:00Z")
def test_today_is_a_different_day_ahead_of_utc_and_behind_it() -> None:
    assert today_in(ZoneInfo("Pacific/Kiritimati")) == date(2026, 7, 2)
    assert today_in(ZoneInfo("America/Los_Angeles")) == date(2026, 7, 1)
    assert datetime.now(UTC).date() == date(2026, 7, 1)
