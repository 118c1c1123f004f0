"""The calls of the weather provider that all processes make together: a budget for each day, and a circuit breaker.

The budget is counted as providers count: a search of a name is one call, and each point of a forecast is one, or two
where the weather now is a request of its own, however many points one request has. The searches of people may take a
fifth of it, so that nobody can use up what the refreshing of forecasts needs.

The breaker is closed while the provider is well. It opens after some failures in a row, or when the provider asks to be
left alone, and then nobody calls. When its time is over, it is half open: one call at a time may try. A success closes
it, and a failure opens it for twice as long. A search of somebody who waits has much less time than the other calls. If
it takes too long, this is no failure, since a provider that is slow, but well, must still be asked for forecasts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from core.config import Settings
from core.db import read, unit_of_one_statement, unit_of_work, write
from core.prepared import Prepared
from core.weather import ProviderUnavailable, WeatherProvider

log = structlog.get_logger()

_FAILURES_IN_A_ROW: Final = 3
_FIRST_WAIT_SECONDS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 300
_SEARCHES_SHARE: Final = 5

_ADD_PROVIDER: Final = "INSERT INTO weather_calls (provider) VALUES (%(provider)s) ON CONFLICT DO NOTHING"

# The row is locked first, so that every process decides by the newest numbers.
_GRANT: Final = Prepared("""
WITH locked AS (
    SELECT * FROM weather_calls WHERE provider = %(provider)s FOR UPDATE),
today AS (
    SELECT provider, day = current_date AS is_today,
        CASE WHEN day = current_date THEN calls ELSE 0 END AS calls,
        CASE WHEN day = current_date THEN searches ELSE 0 END AS searches,
        CASE WHEN open_until IS NULL THEN %(wanted)s::integer
             WHEN open_until > now() OR probe_until > now() THEN 0 ELSE 1 END AS allowed,
        open_until IS NOT NULL AS tries
    FROM locked),
room AS (
    SELECT *, greatest(0, %(calls_per_day)s::integer - calls) AS calls_left,
        CASE WHEN %(is_search)s::boolean THEN greatest(0, %(searches_per_day)s::integer - searches) END AS searches_left
    FROM today),
granted AS (
    SELECT *, least(allowed, calls_left, searches_left) AS granted, allowed > calls_left AS lacks_calls,
        allowed > 0 AND calls_left > 0 AND coalesce(searches_left = 0, false) AS lacks_searches
    FROM room)
UPDATE weather_calls w SET
    day = current_date,
    calls = g.calls + g.granted,
    searches = g.searches + CASE WHEN %(is_search)s THEN g.granted ELSE 0 END,
    calls_told = g.lacks_calls OR l.calls_told AND g.is_today,
    searches_told = g.lacks_searches OR l.searches_told AND g.is_today,
    probe_until = CASE WHEN g.tries AND g.granted > 0 THEN now() + make_interval(secs => %(probe_seconds)s)
                       ELSE l.probe_until END
FROM granted g JOIN locked l USING (provider) WHERE w.provider = g.provider
RETURNING g.granted, w.calls_told AND NOT (l.calls_told AND g.is_today),
    w.searches_told AND NOT (l.searches_told AND g.is_today)
""")

_REFUSED_UNTIL: Final = """
SELECT greatest(now(), open_until, CASE WHEN open_until IS NOT NULL THEN probe_until END,
    CASE WHEN day = current_date AND calls >= %(calls_per_day)s THEN current_date + interval '1 day' END)
FROM weather_calls WHERE provider = %(provider)s
"""

_SUCCEEDED: Final = Prepared("""
WITH locked AS (
    SELECT provider, open_until FROM weather_calls
    WHERE provider = %(provider)s AND failures > 0 AND (open_until IS NULL OR open_until <= now()) FOR UPDATE)
UPDATE weather_calls w SET failures = 0, open_until = NULL, probe_until = NULL
FROM locked l WHERE w.provider = l.provider RETURNING l.open_until IS NOT NULL
""")

# While the breaker is open, the calls that had begun before may fail too. They say nothing new, unless the provider
# names a later time.
_FAILED: Final = Prepared("""
WITH locked AS (
    SELECT *, CASE WHEN open_until > now() THEN 0 ELSE 1 END AS news FROM weather_calls
    WHERE provider = %(provider)s FOR UPDATE)
UPDATE weather_calls w SET
    failures = l.failures + l.news,
    probe_until = NULL,
    open_until = greatest(l.open_until, CASE
        WHEN %(retry_after)s::double precision IS NOT NULL THEN now() + make_interval(secs => %(retry_after)s)
        WHEN l.news = 1 AND (l.open_until IS NOT NULL OR l.failures + 1 >= %(failures_in_a_row)s::integer)
        THEN now() + make_interval(secs => least(%(longest_wait)s::double precision, %(first_wait)s::double precision
            * power(2, greatest(0, least(l.failures + 1 - %(failures_in_a_row)s, 20))))) END)
FROM locked l WHERE w.provider = l.provider
RETURNING l.open_until IS NULL AND w.open_until IS NOT NULL,
    ceil(extract(epoch FROM w.open_until - now()))::integer
""")

_SEARCH_WAS_LATE: Final = Prepared("""
UPDATE weather_calls SET probe_until = NULL WHERE provider = %(provider)s AND probe_until IS NOT NULL
""")

_USES: Final = """
SELECT provider, calls::float8 / %(calls_per_day)s, searches::float8 / %(searches_per_day)s, open_until IS NOT NULL
FROM weather_calls WHERE day = current_date ORDER BY provider
"""

_RESUME: Final = "UPDATE weather_calls SET failures = 0, open_until = NULL, probe_until = NULL"


@dataclass(frozen=True, slots=True)
class Use:
    """How a provider was used on this day (UTC).

    Attributes:
        provider: Its name.
        calls: The share of the calls that are used up, from 0 to 1.
        searches: The same for the searches of people.
        is_stopped: Whether it has failed, so that nobody calls it, or one call at a time tries.
    """

    provider: str
    calls: float
    searches: float
    is_stopped: bool


def uses_of_today(calls_per_day: int) -> list[Use]:
    """Return how the providers that were called on this day were used, usually one."""
    parameters = {"calls_per_day": calls_per_day, "searches_per_day": searches_per_day(calls_per_day)}
    return [Use(*row) for row in read(_USES, parameters).fetch_all()]


def searches_per_day(calls_per_day: int) -> int:
    """Return how many of the calls of a day may be searches of people."""
    return max(calls_per_day // _SEARCHES_SHARE, 1)


def resume() -> None:
    """Let every process call the provider again at once. What is used up of the day stays used up."""
    with unit_of_work():
        write(_RESUME)


class WeatherCalls:
    """Says whether the provider may be called, and is told how each call went.

    Every method is a statement of its own, outside of any unit of work, since it must hold for all processes at once.
    """

    def __init__(self, settings: Settings, provider: WeatherProvider) -> None:
        self._provider = provider.name
        self._calls_per_day = settings.weather_calls_per_day
        # A call that tries whether the provider is well again ends within the time limit, unless its process dies.
        self._probe_seconds = settings.weather_timeout * 2

    def granted(self, wanted: int) -> int:
        """Reserve calls for names to search and points of forecasts; returns how many there are, from 0 to `wanted`.

        Whoever gets some must say afterwards how it went, with `succeeded()` or `failed()`.
        """
        return self._grant(wanted, is_search=False)

    def granted_search(self) -> bool:
        """Reserve a call for the search of somebody who waits; returns whether there is one.

        Whoever gets it must say afterwards how it went, with `succeeded()`, `failed()` or `search_was_late()`.
        """
        return self._grant(1, is_search=True) == 1

    def refused_until(self) -> datetime:
        """Return when it is worth to ask for calls again after some were refused; this may be now."""
        parameters = {"provider": self._provider, "calls_per_day": self._calls_per_day}
        until: datetime = read(_REFUSED_UNTIL, parameters).fetch_value()
        return until

    def succeeded(self) -> None:
        """Note that the provider has sent a valid response."""
        row = self._write(_SUCCEEDED)
        if row is not None and row[0]:
            log.info("weather_calls_resumed", provider=self._provider)

    def failed(self, error: ProviderUnavailable) -> None:
        """Note that the provider has sent none, and leave it alone as long as it has asked for."""
        row = self._write(
            _FAILED,
            retry_after=error.retry_after,
            failures_in_a_row=_FAILURES_IN_A_ROW,
            first_wait=_FIRST_WAIT_SECONDS,
            longest_wait=_LONGEST_WAIT_SECONDS,
        )
        if row is not None and row[0]:
            log.warning("weather_calls_stopped", provider=self._provider, seconds=row[1], reason=str(error))

    def search_was_late(self) -> None:
        """Note that a search was given up before there was a response, so that another call may try at once."""
        with unit_of_one_statement():
            write(_SEARCH_WAS_LATE, {"provider": self._provider})

    def _grant(self, wanted: int, *, is_search: bool) -> int:
        parameters = {
            "wanted": wanted,
            "is_search": is_search,
            "calls_per_day": self._calls_per_day,
            "searches_per_day": searches_per_day(self._calls_per_day),
            "probe_seconds": self._probe_seconds,
        }
        row = self._write(_GRANT, **parameters)
        if row is None:
            with unit_of_one_statement():
                write(_ADD_PROVIDER, {"provider": self._provider})
            return self._grant(wanted, is_search=is_search)
        granted, lacks_calls, lacks_searches = row
        if lacks_calls:
            log.warning("weather_calls_used_up", provider=self._provider, calls=self._calls_per_day)
        if lacks_searches:
            log.warning("weather_searches_used_up", provider=self._provider, searches=parameters["searches_per_day"])
        return int(granted)

    def _write(self, statement: Prepared, **parameters: object) -> tuple[Any, ...] | None:
        with unit_of_one_statement():
            return write(statement, {"provider": self._provider, **parameters}).fetch_one()
