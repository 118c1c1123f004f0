"""The examination of an installation: every part of it, and what to do about what is wrong.

It changes nothing, apart from a file that it stores and removes again, and a request to the weather provider.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

from peewee import PeeweeException
from redis import Redis
from redis.exceptions import RedisError

from core import db, redis_clients
from core.config import ConfigurationError, Settings
from core.doctor import servers, surroundings, work
from core.doctor.findings import Finding, Level, worst
from core.local.embedded.environment import complete_environment
from core.local.embedded.process import EmbeddedError
from core.services.measures import read_values
from core.services.operations import read_queues

__all__ = ["Finding", "Level", "examine", "examine_settings", "worst"]

_STATEMENT_SECONDS: Final = 5.0
_REDIS_SECONDS: Final = 3.0

Examination = Callable[[], Iterator[Finding]]


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Examine the installation that the environment describes; embedded servers are started if they do not run."""
    try:
        with complete_environment(environ) as (environment, _):
            return examine_settings(Settings.from_environ(environment))
    except ConfigurationError as error:
        return [Finding("configuration", Level.BAD, str(error), "See docs/configuration.md.")]
    except EmbeddedError as error:
        return [Finding("servers", Level.BAD, str(error), "Start `make run` first, or read the log in DATA_DIR.")]


def examine_settings(settings: Settings) -> list[Finding]:
    """Examine the installation with these settings."""
    db.configure(settings.database_url.get_secret_value(), application="doctor", statement_seconds=_STATEMENT_SECONDS)
    try:
        with redis_clients.connect(
            settings.redis_url.get_secret_value(),
            socket_timeout=_REDIS_SECONDS,
            socket_connect_timeout=_REDIS_SECONDS,
        ) as redis:
            return _examine_parts(settings, redis)
    finally:
        db.disconnect()


def _examine_parts(settings: Settings, redis: Redis) -> list[Finding]:
    schema = _outcome(servers.migrations)
    findings = [
        *_outcome(lambda: surroundings.configuration(settings)),
        *_outcome(servers.postgresql),
        *_outcome(servers.postgresql_clock),
        *schema,
        *_outcome(lambda: servers.redis_server(redis)),
        *_outcome(lambda: servers.redis_clock(redis)),
        *_outcome(lambda: work.queues(redis)),
    ]
    if worst(schema) is not Level.BAD:  # The tables may be missing otherwise.
        findings += [
            *_outcome(lambda: _work(settings, redis)),
            *_outcome(lambda: work.events(redis)),
        ]
    for part in (surroundings.disks, surroundings.storage, surroundings.mail, surroundings.weather):
        findings += part(settings)
    # A server that is down is found by each part that needs it, in the same words.
    return list(dict.fromkeys(findings))


def _work(settings: Settings, redis: Redis) -> Iterator[Finding]:
    values = read_values(settings, read_queues(redis))
    yield from work.processes(values)
    for finding in chain(work.measured(values), work.backlogs()):
        # After a restore, and before the first start, work is late only because nothing runs, which was said already.
        yield finding if work.anything_runs(values) else finding.no_worse_than(Level.WARN)


def _outcome(part: Examination) -> list[Finding]:
    """Return what a part finds. If a server that it needs is down, this is what it finds."""
    try:
        return list(part())
    except PeeweeException as error:
        reason = str(error).strip().partition("\n")[0]
        advice = "See PostgreSQL in docs/operations.md."
        return [Finding("postgresql", Level.BAD, reason or type(error).__name__, advice)]
    except RedisError as error:
        return [
            Finding("redis", Level.BAD, f"cannot be used: {type(error).__name__}", "See Redis in docs/operations.md.")
        ]
