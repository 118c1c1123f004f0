"""Beat: it sends a periodic job only if there is something to do, and only one beat may run.

Two would send every periodic job twice. Jobs that look every few seconds for something to do find nothing most of the
time; if they were sent all the same, they would fill Flower's list and hide what people look for there.
"""

from typing import Any, Final

import psycopg2
import structlog
from celery.beat import Scheduler, SchedulingError
from celery.signals import beat_init
from kombu.exceptions import OperationalError as BrokerUnavailable

from core import db, jobs
from worker.app import DEPENDENCY_UNAVAILABLE, context, settings

log = structlog.get_logger()

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('allweather:beat', 0))"
_STANDBY_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3
# The conditions of jobs are cheap queries; one that takes longer must not hold up the other jobs.
_CONDITION_SECONDS: Final = 2.0
_JOBS: Final = {job.name: job for job in jobs.ALL}
# A network that loses the connection in silence must not leave both ends waiting, the server's with the lock.
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}


class SingleBeatScheduler(Scheduler):  # type: ignore[misc]  # Celery ships no types.
    """A schedule in memory that is followed only while this process holds a lock in PostgreSQL.

    The lock belongs to a connection, so it is free as soon as its holder dies. A second beat stands by until then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connection: Any = None
        self._leads = False
        self._broker_answers = True
        self._unknown_conditions: set[str] = set()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, if this is the beat that leads; returns the seconds until the next look."""
        if not self._holds_lock():
            return _STANDBY_SECONDS
        wait: float = super().tick(*args, **kwargs)
        return min(wait, _STANDBY_SECONDS)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the job of one entry, if there is something for it to do."""
        if self._has_something_to_do(entry.task):
            super().apply_entry(entry, producer=producer)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send one message; where the broker is away, say so once and leave it to the next round."""
        try:
            result = super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        except SchedulingError as error:
            if not isinstance(error.__context__, BrokerUnavailable):
                raise
            if self._broker_answers:
                log.warning("broker_unreachable", reason=type(error.__context__).__name__)
            self._broker_answers = False
            return None
        if not self._broker_answers:
            log.info("broker_reachable")
        self._broker_answers = True
        return result

    def close(self) -> None:
        """Let go of the lock."""
        if self._connection is not None:
            self._connection.close()
        super().close()

    def _ensure_connected(self) -> Any:
        """Leave it to each message to connect: who waits here for the broker does not notice that the lock is lost."""
        return self.connection

    def _has_something_to_do(self, name: str) -> bool:
        """Whether a job is worth sending; so it is where its condition fails, since the job looks for itself."""
        try:
            has_something_to_do = _JOBS[name].has_something_to_do(context)
        except Exception as error:
            if name not in self._unknown_conditions:
                is_defect = not isinstance(error, DEPENDENCY_UNAVAILABLE)
                log.warning("condition_unknown", job=name, reason=type(error).__name__, exc_info=is_defect)
            self._unknown_conditions.add(name)
            return True
        self._unknown_conditions.discard(name)
        return has_something_to_do

    def _holds_lock(self) -> bool:
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(
                    settings.database_url.get_secret_value(),
                    application_name="allweather-beat",
                    connect_timeout=_CONNECT_SECONDS,
                    **_KEEPALIVE,
                )
                self._connection.autocommit = True
                self._leads = False
            cursor = self._connection.cursor()
            # Asking again while the lock is held would count it twice, so a leader only checks that it still can ask.
            cursor.execute("SELECT true" if self._leads else _LOCK)
            (holds,) = cursor.fetchone()
        except psycopg2.Error as error:
            self._lose(type(error).__name__)
            return False
        if holds and not self._leads:
            log.info("beat_leads")
        self._leads = holds
        return bool(holds)

    def _lose(self, reason: str) -> None:
        log.warning("beat_stands_by", reason=reason)
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._leads = False


def _bound_conditions(**_: Any) -> None:
    """Give this process connections on which no statement takes longer than a condition may."""
    db.configure(settings.database_url.get_secret_value(), application="beat", statement_seconds=_CONDITION_SECONDS)


beat_init.connect(_bound_conditions)
