"""Beat: it sends periodic jobs, each only if it has something to do. Only one beat process is active.

Two active ones would send every periodic job twice. Most of the time there is nothing to do for jobs that are due every
few seconds. If beat sent them in any case, they would fill the list in Flower and hide the other jobs.
"""

from typing import Any, Final

import psycopg2
import structlog
from celery.beat import Scheduler, SchedulingError
from celery.signals import beat_init
from kombu.exceptions import OperationalError as BrokerUnavailable

from core import db, jobs, metrics
from core.backlog import BacklogMetrics
from core.heartbeat import start_heartbeat, stop_heartbeat
from core.metrics.export import Counted, start_export
from core.services.processes import Identity
from worker.app import DEPENDENCY_UNAVAILABLE, context, settings

log = structlog.get_logger()

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('allweather:beat', 0))"
_STANDBY_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3
# The conditions of jobs are cheap queries. One that takes longer than this must not delay the other jobs.
_CONDITION_SECONDS: Final = 2.0
_JOBS: Final = {job.name: job for job in jobs.ALL}
# Without keepalives the loss of a connection could stay unnoticed on both sides, and the server would keep the lock.
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
}


class SingleBeatScheduler(Scheduler):  # type: ignore[misc]  # Celery ships no types.
    """A schedule in memory that is only used while this process holds a lock in PostgreSQL.

    The lock belongs to a connection, so it is released when its process dies. A second beat waits until then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connection: Any = None
        self._is_leader = False
        self._broker_reachable = True
        self._unknown_conditions: set[str] = set()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the jobs that are due, if this process holds the lock; returns the seconds until the next call."""
        if not self._holds_lock():
            return _STANDBY_SECONDS
        wait: float = super().tick(*args, **kwargs)
        return min(wait, _STANDBY_SECONDS)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the job of one entry, if there is something for it to do."""
        if self._has_something_to_do(entry.task):
            super().apply_entry(entry, producer=producer)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send one message; if the broker is down, log this once and try again at the next interval."""
        try:
            result = super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        except SchedulingError as error:
            if not isinstance(error.__context__, BrokerUnavailable):
                raise
            if self._broker_reachable:
                log.warning("broker_unreachable", reason=type(error.__context__).__name__)
            self._broker_reachable = False
            return None
        if not self._broker_reachable:
            log.info("broker_reachable")
        self._broker_reachable = True
        return result

    def close(self) -> None:
        """Close the connection, which releases the lock, and say that this process ends."""
        if self._connection is not None:
            self._connection.close()
        stop_heartbeat()
        super().close()

    def _ensure_connected(self) -> Any:
        """Do not wait for the broker here, since the loss of the lock would not be noticed during the wait."""
        return self.connection

    def _has_something_to_do(self, name: str) -> bool:
        """Whether to send a job. If its condition raises an error, the job is sent, since it checks for work itself."""
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
                self._is_leader = False
            cursor = self._connection.cursor()
            # Taking a lock again that is already held would count it twice, so the holder only checks its connection.
            cursor.execute("SELECT true" if self._is_leader else _LOCK)
            (holds,) = cursor.fetchone()
        except psycopg2.Error as error:
            self._drop_connection(type(error).__name__)
            return False
        if holds and not self._is_leader:
            log.info("beat_leads")
        self._is_leader = holds
        metrics.BEAT_LEADS.set(bool(holds))
        return bool(holds)

    def _drop_connection(self, reason: str) -> None:
        log.warning("beat_stands_by", reason=reason)
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._is_leader = False
        metrics.BEAT_LEADS.set(0)


def _limit_condition_time(**_: Any) -> None:
    """Limit the duration of every statement in this process to that of a condition."""
    db.configure(settings.database_url.get_secret_value(), application="beat", statement_seconds=_CONDITION_SECONDS)


def _export_metrics(**_: Any) -> None:
    """Export metrics. The backlog is the same for all processes, so only the beat that leads looks it up."""
    backlog = BacklogMetrics(
        context.queue_length, settings.weather_calls_per_day, lambda: metrics.BEAT_LEADS.value() == 1
    )
    start_export(settings, "beat", Counted([metrics.memory()]), backlog)


def _start_heartbeat(**_: Any) -> None:
    start_heartbeat(Identity("beat", "beat"))


beat_init.connect(_limit_condition_time)
beat_init.connect(_export_metrics)
beat_init.connect(_start_heartbeat)
