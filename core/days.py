"""Calendar days in a time zone, and the points in time at which they begin and end."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo


def beginning_of(day: date, zone: tzinfo) -> datetime:
    """Return the first instant of a day, in UTC.

    Where clocks are set forward at midnight, the day begins at the time that they are set to. Where they are set back
    over midnight, it begins at the first of the two midnights.
    """
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def end_of(day: date, zone: tzinfo) -> datetime:
    """Return the first instant after a day, in UTC."""
    return beginning_of(day + timedelta(days=1), zone)


def last_second_of(day: date, zone: tzinfo) -> datetime:
    """Return the beginning of the last second of a day, in UTC."""
    return end_of(day, zone) - timedelta(seconds=1)


def today_in(zone: tzinfo) -> date:
    """Return the day that it is now."""
    return datetime.now(zone).date()
