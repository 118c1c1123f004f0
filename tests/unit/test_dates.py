"""Dates as people write them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from core.client.dates import UnknownDate, parse_due

# In Oslo it is Thursday already: 00:30 on 7 May 2026.
NOW = datetime(2026, 5, 6, 22, 30, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tomorrow 9:00", "2026-05-08T09:00+02:00"),
        ("wed 08:15", "2026-05-13T08:15+02:00"),
        ("+1w 7:00", "2026-05-14T07:00+02:00"),
        ("+2h", "2026-05-07T02:30+02:00"),
        ("+45m", "2026-05-07T01:15+02:00"),
        ("2026-12-24 18:00", "2026-12-24T18:00+01:00"),
        ("2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        ("2026-12-24T18:00Z", "2026-12-24T18:00+00:00"),
        # In this night the clocks are set back; the first of the two hours is meant.
        ("2026-10-25 02:30", "2026-10-25T02:30+02:00"),
    ],
)
def test_a_time_is_understood_in_the_zone_of_the_person(text: str, meant: str) -> None:
    found = parse_due(text, OSLO, NOW)

    assert isinstance(found, datetime)
    assert found == datetime.fromisoformat(meant)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("today", date(2026, 5, 7)),
        ("Tomorrow", date(2026, 5, 8)),
        ("fri", date(2026, 5, 8)),
        ("thursday", date(2026, 5, 14)),
        ("+3d", date(2026, 5, 10)),
        ("2026-12-24", date(2026, 12, 24)),
    ],
)
def test_a_day_without_a_time_stays_a_day(text: str, meant: date) -> None:
    found = parse_due(text, OSLO, NOW)

    assert not isinstance(found, datetime)
    assert found == meant


@pytest.mark.parametrize(
    "text", ["", "soon", "th", "+3y", "+3", "tomorrow at nine", "tomorrow 25:00", "2026-13-01", "+99999d", "२०२६-०५-०१"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UnknownDate, match="tomorrow"):
        parse_due(text, OSLO, NOW)
