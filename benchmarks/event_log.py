"""Events for the measurements, which are inserted by SQL, without the changes that usually cause them."""

from collections.abc import Iterable
from typing import Final, cast

from redis import Redis

from core import db
from core.jobs import JobContext
from core.services import event_partitions, publication

TEXT: Final = "Clean the gutters before the rain comes. " * 8
_STREAM_LENGTH: Final = 10_000

_INSERT: Final = """
INSERT INTO events (type, actor_id, audience, data, at)
SELECT 'task.reminder', %(user)s, ARRAY[%(user)s]::bigint[], json_build_object('title', %(text)s),
       clock_timestamp() - make_interval(days => %(days_ago)s)
FROM generate_series(1, %(count)s)
"""


def insert_events(user_id: int, count: int, *, text: str = TEXT, days_ago: int = 0) -> None:
    """Insert events for one user, which are not published yet."""
    with db.unit_of_work():
        db.write(_INSERT, {"user": user_id, "count": count, "text": text, "days_ago": days_ago})


def replace_events(user_id: int, days: Iterable[int]) -> None:
    """Replace all events by one for each of these days, counted back from today. Each day gets a partition."""
    with db.unit_of_work():
        db.write("DROP TABLE events_before")
        db.write("DELETE FROM events")
    for days_ago in days:
        insert_events(user_id, 1, days_ago=days_ago)
    # This job does not use its context.
    event_partitions.make_partitions(cast("JobContext", None))


def publish_all(redis_url: str) -> int:
    """Publish all events that wait, and send no jobs; returns how many there were."""
    with Redis.from_url(redis_url) as redis:
        return publication.publish(redis, _STREAM_LENGTH, lambda _job: None)
