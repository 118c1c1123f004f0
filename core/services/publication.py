"""Number the committed events, append them to the Redis stream and derive the jobs that follow from them.

Any number of processes may be asked to publish; one at a time does it. Each step may be repeated harmlessly, so a
crash between two of them costs nothing but the repetition:

1. a stream that is ahead of the database, as after the restoration of a backup, is removed;
2. rows without a number get theirs, in the order of insertion, and that is committed;
3. what the stream does not hold yet is appended under the explicit id `seq-0`, which Redis refuses a second time;
4. the jobs that follow from the events after the watermark are sent; then the watermark is moved.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import orjson
from redis import Redis
from redis.exceptions import ResponseError

from core import jobs
from core.db import exclusive, read, unit_of_work, write
from core.events import STREAM_KEY, Event, bounds, read_since
from core.jobs import JobContext, JobRequest

_LOCK_NAME: Final = "allweather:publish"
_BATCH: Final = 500
_ALREADY_THERE: Final = "equal or smaller"

_NUMBER = """
WITH state AS (SELECT last_seq FROM event_log_state FOR UPDATE),
     batch AS (SELECT id, row_number() OVER (ORDER BY id) AS position FROM (
                   SELECT id FROM events WHERE seq IS NULL ORDER BY id LIMIT %(limit)s) unnumbered),
     numbered AS (UPDATE events e SET seq = state.last_seq + batch.position FROM batch, state WHERE e.id = batch.id
                  RETURNING e.seq)
UPDATE event_log_state SET last_seq = last_seq + (SELECT count(*) FROM numbered)
RETURNING (SELECT count(*) FROM numbered)
"""


_BEHIND = """
SELECT EXISTS (SELECT FROM events WHERE seq IS NULL) OR (SELECT jobs_seq < last_seq FROM event_log_state)
"""

Dispatch = Callable[[JobRequest], None]


@jobs.EVENTS_PUBLISH.work
def publish_events(context: JobContext) -> int:
    """Publish what has been committed, and send the jobs that follow from it; returns the number of events."""
    return publish(context.redis, context.settings.event_stream_length, context.dispatch)


@jobs.EVENTS_PUBLISH.when
def is_behind(context: JobContext) -> bool:
    """Whether any of the four steps has something to do."""
    if read(_BEHIND).fetch_value():
        return True
    log, newest = bounds(), _last_in(context.redis)
    stream_is_ahead = newest > log.last
    stream_lacks_events = max(newest, log.oldest - 1) < log.last
    return stream_is_ahead or stream_lacks_events


def publish(redis: Redis, stream_length: int, dispatch: Dispatch) -> int:
    """Publish all that has been committed; returns how many events got their number.

    Where another process is publishing, this one returns at once: the other looks again after it has released the
    lock, so it sees whatever was committed before this call.
    """
    total = 0
    while True:
        with exclusive(_LOCK_NAME) as held:
            if not held:
                return total
            _remove_foreign_stream(redis)
            total += _number_all()
            _append(redis, stream_length)
            _derive_jobs(dispatch)
        if not _unnumbered():
            return total


def _remove_foreign_stream(redis: Redis) -> None:
    """Remove a stream from before the database was restored from a backup: its numbers are about to be given anew.

    New numbers may overtake the stream's last one, so this can be seen only before any are given.
    """
    if _last_in(redis) > bounds().last:
        redis.delete(STREAM_KEY)


def _number_all() -> int:
    total = 0
    while True:
        numbered: int
        with unit_of_work():
            numbered = write(_NUMBER, {"limit": _BATCH}).fetch_value()
        total += numbered
        if numbered < _BATCH:
            return total


def _unnumbered() -> bool:
    exist = read("SELECT EXISTS (SELECT FROM events WHERE seq IS NULL)").fetch_value()
    return bool(exist)


def _append(redis: Redis, stream_length: int) -> None:
    """Append what the stream lacks; after a loss of memory that is as much as the stream may hold."""
    log = bounds()
    position = max(_last_in(redis), log.oldest - 1, log.last - stream_length)
    while batch := read_since(position, _BATCH):
        _append_batch(redis, batch, stream_length)
        position = batch[-1].seq


def _append_batch(redis: Redis, batch: Iterable[Event], stream_length: int) -> None:
    pipeline = redis.pipeline(transaction=False)
    for event in batch:
        pipeline.xadd(STREAM_KEY, stream_entry(event), id=f"{event.seq}-0", maxlen=stream_length, approximate=True)
    for outcome in pipeline.execute(raise_on_error=False):
        if isinstance(outcome, Exception) and not (
            isinstance(outcome, ResponseError) and _ALREADY_THERE in str(outcome)
        ):
            raise outcome


def _last_in(redis: Redis) -> int:
    newest: Any = redis.xrevrange(STREAM_KEY, count=1)
    return int(newest[0][0].split(b"-")[0]) if newest else 0


def stream_entry(event: Event) -> dict[Any, Any]:
    """The fields of an event's stream entry; `event_from_entry()` reads them."""
    return {
        "type": event.type,
        "audience": orjson.dumps(event.audience).decode(),
        "task_id": "" if event.task_id is None else str(event.task_id),
        "actor_id": "" if event.actor_id is None else str(event.actor_id),
        "at": event.at,
        "request_id": event.request_id or "",
        "data": event.data,
    }


def event_from_entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Event:
    """The event of a stream entry that `stream_entry()` has made."""
    return Event(
        seq=int(entry_id.split(b"-")[0]),
        type=fields[b"type"].decode(),
        task_id=int(fields[b"task_id"]) if fields[b"task_id"] else None,
        actor_id=int(fields[b"actor_id"]) if fields[b"actor_id"] else None,
        audience=tuple(orjson.loads(fields[b"audience"])),
        at=fields[b"at"].decode(),
        request_id=fields[b"request_id"].decode() or None,
        data=fields[b"data"].decode(),
    )


def _derive_jobs(dispatch: Dispatch) -> None:
    position = read("SELECT jobs_seq FROM event_log_state").fetch_value()
    while batch := read_since(position, _BATCH):
        for request in jobs_for(batch):
            dispatch(request)
        position = batch[-1].seq
        with unit_of_work():
            write("UPDATE event_log_state SET jobs_seq = %s", (position,))


def jobs_for(batch: Iterable[Event]) -> list[JobRequest]:
    """The jobs that follow from events: each only once, with the id of the first HTTP request that it follows from."""
    first: dict[JobRequest, JobRequest] = {}
    for event in batch:
        for request in jobs.following_from(event):
            first.setdefault(request, replace(request, request_id=event.request_id))
    return list(first.values())
