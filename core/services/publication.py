"""Number the committed events, append them to the Redis stream and send the jobs that they cause.

Several processes may try to publish, but only one at a time does it. All steps may be repeated without harm, so after a
crash they are simply done again:

1. If the stream is ahead of the database, for example after a backup was restored, the stream is removed.
2. Rows without a number get a number, in the order of insertion, and this is committed.
3. Missing events are appended to the stream with the id `seq-0`. Redis refuses an id that it has already.
4. The jobs that are caused by the events after `jobs_seq` are sent; then `jobs_seq` is moved forward.

The last two steps are done batch by batch, so that each event is read only once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from redis import Redis
from redis.exceptions import ResponseError

from core import jobs
from core.activity import ACTIVITY, PUBLISHED
from core.db import exclusive, read, unit_of_work, write
from core.events import STREAM_KEY, Event, bounds, read_since
from core.jobs import JobContext, JobRequest
from core.prepared import Prepared
from core.publisher_signal import attending, is_attended

_LOCK_NAME: Final = "allweather:publish"
_BATCH: Final = 500
_ALREADY_THERE: Final = "equal or smaller"

# It has no parameters, so that PostgreSQL keeps its plan. Planning it for a dozen partitions takes some milliseconds.
_NUMBER = Prepared(f"""
WITH state AS (SELECT last_seq FROM event_log_state FOR UPDATE),
     batch AS (SELECT id, at, row_number() OVER (ORDER BY id) AS position FROM (
                   SELECT id, at FROM events WHERE seq IS NULL ORDER BY id LIMIT {_BATCH}) unnumbered),
     numbered AS (UPDATE events e SET seq = state.last_seq + batch.position FROM batch, state
                  WHERE e.id = batch.id AND e.at = batch.at RETURNING e.seq)
UPDATE event_log_state SET last_seq = last_seq + (SELECT count(*) FROM numbered)
RETURNING (SELECT count(*) FROM numbered)
""")

_POSITIONS = Prepared("""
SELECT last_seq, jobs_seq, coalesce((SELECT min(seq) FROM events), last_seq + 1) FROM event_log_state
""")

# If a crash of PostgreSQL undoes this, the jobs are sent again, which does no harm. So it does not wait for the disk.
_JOBS_SENT = "SET LOCAL synchronous_commit = off; UPDATE event_log_state SET jobs_seq = %s"

# More events than there are between two backups.
_SKIPPED_NUMBERS: Final = 1_000_000
_SKIP = "UPDATE event_log_state SET last_seq = last_seq + %s RETURNING last_seq"

_UNNUMBERED = Prepared("SELECT EXISTS (SELECT FROM events WHERE seq IS NULL)")

_BEHIND = f"""
SELECT ({_UNNUMBERED.sql}) OR (SELECT jobs_seq < last_seq FROM event_log_state)
"""

Dispatch = Callable[[JobRequest], None]


@dataclass(frozen=True, slots=True)
class _Positions:
    """The numbers of the last event that has a number, of the last one whose jobs were sent, and of the oldest one."""

    last: int
    jobs_sent: int
    oldest: int


@jobs.EVENTS_PUBLISH.work
def publish_events(context: JobContext) -> int:
    """Publish the committed events, and send the jobs that they cause; returns the number of events.

    The publisher stays for the next signals, unless another one does. It does not stay while other jobs wait, because
    one of them may wait for this very process.
    """

    def publish_now() -> int:
        return publish(context.redis, context.settings.event_stream_length, context.dispatch)

    if is_attended(context.redis):
        return publish_now()
    with attending(context.redis) as attendance:
        total = publish_now()
        while not any(map(context.queue_length, jobs.QUEUES)) and attendance.next_signal():
            total += publish_now()
    return total + publish_now()


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
            total += _publish_alone(redis, stream_length, dispatch)
        if not read(_UNNUMBERED).fetch_value():
            return total


def skip_numbers() -> int:
    """Skip the numbers that events may have had which a restored backup does not contain; returns the last of them.

    Otherwise they would be given again, and a listener could take another event for one that it has seen.
    """
    with unit_of_work():
        last: int = write(_SKIP, (_SKIPPED_NUMBERS,)).fetch_value()
    return last


def _publish_alone(redis: Redis, stream_length: int, dispatch: Dispatch) -> int:
    newest = _last_in(redis)
    before = _Positions(*read(_POSITIONS).fetch_exactly_one())
    # This check must come before new numbers are given, since they could become higher than the last one of the stream.
    if newest > before.last:
        redis.delete(STREAM_KEY)
        newest = 0
    numbered = _number_all()
    if numbered:
        ACTIVITY.count(PUBLISHED, numbered)
    last = before.last + numbered
    # If Redis has lost the stream, it gets at most `stream_length` events.
    appended = max(newest, before.oldest - 1, last - stream_length)
    position = min(appended, before.jobs_sent)
    while position < last and (batch := read_since(position, _BATCH)):
        _append(redis, [event for event in batch if event.seq > appended], stream_length)
        for request in jobs_for(event for event in batch if event.seq > before.jobs_sent):
            dispatch(request)
        position = batch[-1].seq
        if position > before.jobs_sent:
            with unit_of_work():
                write(_JOBS_SENT, (position,))
    return numbered


def _number_all() -> int:
    total = 0
    while True:
        numbered: int
        with unit_of_work():
            numbered = write(_NUMBER).fetch_value()
        total += numbered
        if numbered < _BATCH:
            return total


def _append(redis: Redis, batch: Iterable[Event], stream_length: int) -> None:
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


def jobs_for(batch: Iterable[Event]) -> list[JobRequest]:
    """Return the jobs that events cause: each only once, with the id of the first HTTP request that caused it."""
    first: dict[JobRequest, JobRequest] = {}
    for event in batch:
        for request in jobs.following_from(event):
            first.setdefault(request, replace(request, request_id=event.request_id))
    return list(first.values())
