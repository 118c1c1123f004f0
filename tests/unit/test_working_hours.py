"""Working hours by the clock of a time zone, also when the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.weather.spans import Span
from core.weather.working_hours import WorkingHours

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/St_Johns",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(WEEK)
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))


def hours(zone: str, begin: time = time(8), end: time = time(17), days: frozenset[str] = EVERY_DAY) -> WorkingHours:
    return WorkingHours(ZoneInfo(zone), begin, end, days)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(
    st.sampled_from(ZONES),
    MINUTES,
    MINUTES,
    st.frozensets(st.sampled_from(WEEK)),
    st.integers(0, 320 * 24).map(lambda passed: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=passed)),
)
def test_the_clock_never_shows_a_time_outside_the_working_hours(
    zone: str, begin: time, end: time, days: frozenset[str], start: datetime
) -> None:
    bounds = Span(start, start + timedelta(days=8))
    found = list(hours(zone, begin, end, days).within(bounds))

    assert all(one.ends_at <= following.starts_at for one, following in pairwise(found))
    for one in found:
        assert one.inside(bounds) == one
        instant = one.starts_at
        while instant < one.ends_at:
            shown = instant.astimezone(ZoneInfo(zone))
            assert begin <= shown.time() < end
            assert WEEK[shown.weekday()] in days
            instant += timedelta(minutes=7)


@pytest.mark.parametrize(
    ("zone", "day", "starts_at", "ends_at"),
    [
        ("Europe/Berlin", date(2026, 3, 28), "2026-03-28T07:00", "2026-03-28T16:00"),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-29T06:00", "2026-03-29T15:00"),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-25T07:00", "2026-10-25T16:00"),
        ("America/Los_Angeles", date(2026, 3, 8), "2026-03-08T15:00", "2026-03-09T00:00"),
        ("America/Los_Angeles", date(2026, 11, 1), "2026-11-01T16:00", "2026-11-02T01:00"),
        ("Asia/Kolkata", date(2026, 3, 29), "2026-03-29T02:30", "2026-03-29T11:30"),
        ("Pacific/Kiritimati", date(2026, 3, 29), "2026-03-28T18:00", "2026-03-29T03:00"),
    ],
)
def test_a_working_day_begins_and_ends_by_the_clock_of_its_day(
    zone: str, day: date, starts_at: str, ends_at: str
) -> None:
    assert hours(zone).of_day(day) == Span(utc(starts_at), utc(ends_at))


@pytest.mark.parametrize(
    ("day", "begin", "end", "starts_at", "ends_at"),
    [
        (date(2026, 3, 29), time(2, 30), time(6), "2026-03-29T01:30", "2026-03-29T04:00"),
        (date(2026, 3, 29), time(0), time(2, 30), "2026-03-28T23:00", "2026-03-29T00:30"),
        (date(2026, 10, 25), time(2, 30), time(6), "2026-10-25T01:30", "2026-10-25T05:00"),
        (date(2026, 10, 25), time(0), time(2, 30), "2026-10-24T22:00", "2026-10-25T00:30"),
    ],
)
def test_a_time_that_is_missing_or_ambiguous_makes_the_day_shorter(
    day: date, begin: time, end: time, starts_at: str, ends_at: str
) -> None:
    assert hours("Europe/Berlin", begin, end).of_day(day) == Span(utc(starts_at), utc(ends_at))


def test_a_day_that_has_begun_counts_from_now_on_but_is_not_a_whole_day() -> None:
    bounds = Span(utc("2026-05-01T10:00"), utc("2026-05-03T12:00"))

    assert list(hours("UTC").within(bounds)) == [
        Span(utc("2026-05-01T10:00"), utc("2026-05-01T17:00")),
        Span(utc("2026-05-02T08:00"), utc("2026-05-02T17:00")),
        Span(utc("2026-05-03T08:00"), utc("2026-05-03T12:00")),
    ]
    assert list(hours("UTC").whole_days(bounds)) == [Span(utc("2026-05-02T08:00"), utc("2026-05-02T17:00"))]


def test_days_off_have_no_working_hours() -> None:
    weekend = Span(utc("2026-05-02T00:00"), utc("2026-05-04T00:00"))

    assert list(hours("UTC", days=frozenset(WEEK[:5])).within(weekend)) == []


def test_a_profile_without_working_hours_works_every_day_from_8_to_20() -> None:
    stored = {"days": ["tue"], "from": "22:15", "to": "23:45"}

    assert WorkingHours.from_json(None, ZoneInfo("UTC")) == hours("UTC", end=time(20))
    assert WorkingHours.from_json(stored, ZoneInfo("UTC")) == hours(
        "UTC", time(22, 15), time(23, 45), frozenset({"tue"})
    )
