"""The partitions of the event log: one for each day (UTC), made ahead, and dropped when all its events are old.

Dropping a partition takes milliseconds, however many events it has. Deleting the rows would take minutes for ten
million events, and leaves their space to be vacuumed.

`events_before` has the events from before the log had partitions. `events_default` takes the events of a day without a
partition, and makes it possible that an insert never fails.
"""

from datetime import date, timedelta
from typing import Final

import structlog

from core import jobs
from core.db import exclusive, read, unit_of_work, write
from core.jobs import JobContext

log = structlog.get_logger()

_LOCK_NAME: Final = "allweather:event-partitions"
_DAYS_AHEAD: Final = 3

# While a statement waits for a lock of a table, all later users of the table wait behind it. So it gives up soon, and
# the job is repeated an hour later.
_SHORT_WAIT: Final = "SET LOCAL lock_timeout = '100ms'"

# The first and the last moment of each partition, from the text that PostgreSQL shows; the last one is not included.
_RANGES: Final = """
SELECT c.relname AS name,
       coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::timestamptz,
                '-infinity') AS first,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz AS last
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'events'::regclass
"""

_MISSING_DAYS: Final = f"""
WITH ranges AS ({_RANGES}),
     wanted (day) AS (
         SELECT generate_series(date_trunc('day', now()), now() + make_interval(days => %(ahead)s), interval '1 day')
         UNION SELECT date_trunc('day', at) FROM events_default)
SELECT day::date FROM wanted WHERE NOT EXISTS (SELECT FROM ranges WHERE first <= day AND day < last) ORDER BY day
"""

# Events that came into the default partition, because their day had none, are moved. The lock keeps more of them from
# coming until the new partition is there.
_MAKE: Final = """
LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE;
CREATE TABLE {name} (LIKE events_default INCLUDING DEFAULTS INCLUDING INDEXES);
WITH moved AS (DELETE FROM events_default WHERE at >= '{day}' AND at < '{next_day}' RETURNING *)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{next_day}');
"""

_OLD: Final = f"""
SELECT name FROM ({_RANGES}) ranges WHERE last <= now() - make_interval(days => %(days)s) ORDER BY last
"""

# The number of the last event of a partition, unless it has events without a number or jobs that were not sent yet.
_LAST_DONE: Final = """
SELECT coalesce((SELECT max(seq) FROM {name}), 0) FROM event_log_state
WHERE NOT EXISTS (SELECT FROM {name} WHERE seq IS NULL)
  AND coalesce((SELECT max(seq) FROM {name}), 0) <= jobs_seq
"""


@jobs.EVENTS_PARTITION.work
def make_partitions(_context: JobContext) -> int:
    """Make the partitions of the next days, and of the days whose events had none; returns how many.

    Raises:
        OperationalError: if a transaction uses the default partition for long. Then the job is to be repeated.
    """
    with exclusive(_LOCK_NAME) as held:
        missing = _missing_days() if held else []
        for day in missing:
            with unit_of_work():
                write(_SHORT_WAIT)
                write(_MAKE.format(name=f"events_{day:%Y%m%d}", day=day, next_day=day + timedelta(days=1)))
        return len(missing)


@jobs.EVENTS_PARTITION.when
def lacks_partitions(_context: JobContext) -> bool:
    """Whether a day needs a partition."""
    return bool(_missing_days())


@jobs.EVENTS_PURGE.work
def purge_events(context: JobContext) -> int:
    """Drop the partitions whose events are all older than their retention; returns how many.

    Listeners that lack these events must resynchronize. A partition is kept while some of its events are not published.

    Raises:
        OperationalError: if a transaction uses the event log for long. Then the job is to be repeated.
    """
    dropped = 0
    with exclusive(_LOCK_NAME) as held:
        for (name,) in _old_partitions(context) if held else []:
            done = read(_LAST_DONE.format(name=name)).fetch_all()
            if not done:
                break
            _drop(name, done[0][0])
            dropped += 1
    return dropped


def _missing_days() -> list[date]:
    return [day for (day,) in read(_MISSING_DAYS, {"ahead": _DAYS_AHEAD}).fetch_all()]


def _old_partitions(context: JobContext) -> list[tuple[str]]:
    return read(_OLD, {"days": context.settings.event_retention_days}).fetch_all()


def _drop(name: str, last: int) -> None:
    """Drop a partition whose last event has the number `last`, and all events before it.

    Events get their time when they are recorded and their number after they are committed, so around midnight a few
    older numbers may be in the next partition. They must go too, so that the kept numbers have no gaps.
    """
    with unit_of_work():
        write(_SHORT_WAIT)
        write(f"DROP TABLE {name}")
        write("DELETE FROM events WHERE seq < %s", (last,))
    log.info("events_purged", partition=name, last=last)
