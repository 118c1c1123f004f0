"""Number the committed events, append them to the Redis stream and send the jobs that they cause.

Several processes may try to publish, but only one at a time does it. All steps may be repeated without harm, so after a
crash they are simply done again:

1. If the stream is ahead of the database, for example after a backup was restored, the stream is removed.
2. Rows without a number get a number, in the order of insertion, and this is committed.
3. Missing events are appended to the stream with the id `seq-0`. Redis refuses an id that it has already.
4. The jobs that are caused by the events after `jobs_seq` are sent; then `jobs_seq` is moved forward.
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
    """Publish the committed events, and send the jobs that they cause; returns the number of events."""
    return publish(context.redis, context.settings.event_stream_length, context.dispatch)


@jobs.EVENTS_PUBLISH.when
def is_behind(context: JobContext) -> bool:
    """Whether any of the four steps has anything to do."""
    if read(_BEHIND).fetch_value():
        return True
    log, newest = bounds(), _last_in(context.redis)
    stream_is_ahead = newest > log.last
    stream_lacks_events = max(newest, log.oldest - 1) < log.last
    return stream_is_ahead or stream_lacks_events


def publish(redis: Redis, stream_length: int, dispatch: Dispatch) -> int:
    """Publish all committed events; returns how many of them got a number.

    If another process is publishing, this one returns at once. The other process checks again after it has released the
    lock, so it finds all events that were committed before this call.
    """
    total = 0
    while True:
        with exclusive(_LOCK_NAME) as held:
            if not held:
                return total
            _remove_outdated_stream(redis)
            total += _number_all()
            _append(redis, stream_length)
            _derive_jobs(dispatch)
        if not _unnumbered():
            return total


def _remove_outdated_stream(redis: Redis) -> None:
    """Remove a stream that is older than a restored backup: its numbers will be given to new events.

    This check must come before new numbers are given, since they could become higher than the last one of the stream.
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
    """Append the events that the stream lacks; if Redis has lost the stream, these are at most `stream_length`."""
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
    """Return the fields of an event's stream entry; `event_from_entry()` reads them."""
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
    """Return the event of a stream entry that `stream_entry()` has made."""
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
    """Return the jobs that events cause: each only once, with the id of the first HTTP request that caused it."""
    first: dict[JobRequest, JobRequest] = {}
    for event in batch:
        for request in jobs.following_from(event):
            first.setdefault(request, replace(request, request_id=event.request_id))
    return list(first.values())
