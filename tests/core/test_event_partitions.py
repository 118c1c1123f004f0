"""Partitions of the event log are made ahead, take every event, and are dropped when all their events are old."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from peewee import OperationalError
from redis import Redis

from core import db, events
from core.config import Settings
from core.jobs import JobContext
from core.migrations import migrate
from core.services import publication
from core.services.event_partitions import lacks_partitions, make_partitions, purge_events
from tests.job_context import job_context
from tests.sql import execute

RETENTION_DAYS = 7


@pytest.fixture
def log_of_its_own(empty_database: str, database: None) -> Iterator[None]:
    """A database whose event log has only the default partition, so that events of any day can be put into it."""
    migrate(empty_database)
    former = str(db.database.database)
    db.disconnect()
    db.configure(empty_database, application="tests", statement_seconds=10)
    execute("DROP TABLE events_before")
    yield
    db.disconnect()
    db.configure(former, application="tests", statement_seconds=10)


@pytest.fixture
def context(log_of_its_own: None, settings: Settings, redis: Redis) -> JobContext:
    return job_context(settings, redis)


def record(*ages_in_days: float) -> None:
    """Record an event of each age, in this order."""
    for age in ages_in_days:
        execute(
            "INSERT INTO events (type, audience, data, at)"
            " VALUES ('task.reminder', '{}', '{}', now() - make_interval(secs => %s))",
            (age * 86_400,),
        )


def publish(redis: Redis) -> int:
    publication.publish(redis, 1000, lambda _job: None)
    return events.bounds().last


def partitions() -> dict[str, int]:
    """Return how many events each partition has that has any."""
    rows = execute("SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1 ORDER BY 1").fetchall()
    return dict(rows)


def partition_of(age_in_days: int) -> str:
    return f"events_{datetime.now(UTC) - timedelta(days=age_in_days):%Y%m%d}"


def test_partitions_are_made_once_for_today_and_the_days_ahead(context: JobContext) -> None:
    assert lacks_partitions(context)

    assert make_partitions(context) == 4

    assert not lacks_partitions(context)
    assert make_partitions(context) == 0
    record(0, -3)
    assert partitions() == {partition_of(0): 1, partition_of(-3): 1}


def test_the_first_partition_takes_the_place_of_its_days(
    empty_database: str, database: None, settings: Settings, redis: Redis
) -> None:
    migrate(empty_database)
    former = str(db.database.database)
    db.disconnect()
    db.configure(empty_database, application="tests", statement_seconds=10)
    try:
        assert make_partitions(job_context(settings, redis)) == 2
        record(0, -1, -2)
        assert partitions() == {"events_before": 2, partition_of(-2): 1}
    finally:
        db.disconnect()
        db.configure(former, application="tests", statement_seconds=10)


def test_an_event_of_a_day_without_a_partition_is_stored_and_moved_later(context: JobContext, redis: Redis) -> None:
    record(0, 3, -40)
    assert partitions() == {"events_default": 3}
    last = publish(redis)

    make_partitions(context)

    assert partitions() == dict(sorted((partition_of(age), 1) for age in (0, 3, -40)))
    assert [event.seq for event in events.read_since(0, 10)] == [last - 2, last - 1, last]
    assert not lacks_partitions(context)


def test_a_new_partition_has_the_indexes_of_the_others(context: JobContext) -> None:
    make_partitions(context)

    indexes = execute(
        "SELECT tablename, count(*) FROM pg_indexes WHERE tablename IN ('events_default', %s) GROUP BY 1",
        (partition_of(0),),
    ).fetchall()

    assert sorted(indexes) == sorted([("events_default", 4), (partition_of(0), 4)])


def test_only_partitions_older_than_the_retention_are_dropped(context: JobContext, redis: Redis) -> None:
    record(RETENTION_DAYS + 3, RETENTION_DAYS + 2, RETENTION_DAYS, 0)
    make_partitions(context)
    last = publish(redis)

    assert purge_events(context) == 2

    assert partitions() == {partition_of(RETENTION_DAYS): 1, partition_of(0): 1}
    assert events.bounds() == events.Bounds(last=last, oldest=last - 1)
    assert purge_events(context) == 0


def test_the_kept_events_have_no_gaps_although_numbers_are_not_in_time_order(context: JobContext, redis: Redis) -> None:
    """An event gets its time when it is recorded and its number after the commit, so the orders may differ."""
    record(20, 0, 20, 0)
    make_partitions(context)
    last = publish(redis)

    assert purge_events(context) == 1

    assert [event.seq for event in events.read_since(0, 10)] == [last]


def test_a_partition_with_unpublished_events_is_kept(context: JobContext, redis: Redis) -> None:
    record(20)
    publish(redis)
    record(20)
    make_partitions(context)

    assert purge_events(context) == 0
    publish(redis)
    assert purge_events(context) == 1


def test_a_partition_with_events_whose_jobs_were_not_sent_is_kept(context: JobContext, redis: Redis) -> None:
    record(20)
    make_partitions(context)
    publish(redis)
    execute("UPDATE event_log_state SET jobs_seq = jobs_seq - 1")

    assert purge_events(context) == 0


def test_a_purge_does_not_wait_behind_a_long_transaction(context: JobContext, redis: Redis) -> None:
    """Others would have to wait behind the purge."""
    record(20)
    make_partitions(context)
    publish(redis)
    reader = psycopg2.connect(db.database.database)
    reader.cursor().execute("SELECT count(*) FROM events")
    try:
        with pytest.raises(OperationalError, match="lock timeout"):
            purge_events(context)
    finally:
        reader.close()

    assert purge_events(context) == 1


def test_pages_of_the_log_and_its_bounds_use_the_index_of_each_partition(context: JobContext, redis: Redis) -> None:
    record(*[age / 100 for age in range(300)])
    make_partitions(context)
    publish(redis)
    execute("ANALYZE")
    for sql in (
        "SELECT * FROM events WHERE seq > 100 ORDER BY seq LIMIT 10",
        "SELECT min(seq) FROM events",
        "SELECT id, at FROM events WHERE seq IS NULL ORDER BY id LIMIT 10",
    ):
        with db.unit_of_work():
            db.write("SET LOCAL enable_seqscan = off")
            plan = "\n".join(line for (line,) in db.read(f"EXPLAIN {sql}").fetch_all())
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan.replace("Sort Key", ""), plan
