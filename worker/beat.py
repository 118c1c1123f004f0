"""Beat, of which only one may run: two would send every periodic job twice."""

from typing import Any, Final

import psycopg2
import structlog
from celery.beat import Scheduler, SchedulingError
from kombu.exceptions import OperationalError as BrokerUnavailable

from worker.app import settings

log = structlog.get_logger()

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('allweather:beat', 0))"
_STANDBY_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3
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
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, if this is the beat that leads; answers the seconds until the next look."""
        if not self._holds_lock():
            return _STANDBY_SECONDS
        wait: float = super().tick(*args, **kwargs)
        return min(wait, _STANDBY_SECONDS)

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
