"""Examine PostgreSQL and Redis: connection, version, schema, configuration, clock."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from redis import Redis

from core.db import read
from core.doctor.findings import Finding, Level, graded, well
from core.migrations import known_migrations

_TESTED_POSTGRES: Final = 18
_OLDEST_REDIS: Final = (6, 2)
# Access tokens are accepted with clocks that differ by up to ten seconds.
_SKEW_WARNING_SECONDS: Final = 2.0
_SKEW_BAD_SECONDS: Final = 10.0
_FULL_MEMORY: Final = 0.9

_POSTGRES: Final = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       pg_size_pretty(pg_database_size(current_database()))
"""
_HAS_HISTORY: Final = "SELECT to_regclass('migratehistory') IS NOT NULL"


def postgresql() -> Iterator[Finding]:
    """Examine the version of PostgreSQL, and the role that the application has there."""
    major, version, is_superuser, size = read(_POSTGRES).fetch_exactly_one()
    if major < _TESTED_POSTGRES:
        advice = f"Allweather is tested with PostgreSQL {_TESTED_POSTGRES}; plan an upgrade."
        yield Finding("postgresql", Level.WARN, f"version {version}", advice)
    else:
        yield well("postgresql", f"version {version}, database of {size}")
    if is_superuser:
        advice = "Use a role that owns the database and nothing else; see Upgrading in docs/operations.md."
        yield Finding("postgresql role", Level.WARN, "the application is a superuser", advice)


def migrations() -> Iterator[Finding]:
    """Compare the migrations of this version with those of the database."""
    known = set(known_migrations())
    has_history = read(_HAS_HISTORY).fetch_value()
    done = {name for (name,) in read("SELECT name FROM migratehistory").fetch_all()} if has_history else set()
    if missing := sorted(known - done):
        advice = "Run `python -m core migrate`."
        yield Finding("migrations", Level.BAD, f"{len(missing)} are missing, from {missing[0]} on", advice)
    elif unknown := sorted(done - known):
        advice = "This program is older than the database. Use the version that has migrated it."
        yield Finding("migrations", Level.WARN, f"the database has {len(unknown)} more, such as {unknown[0]}", advice)
    else:
        yield well("migrations", f"all {len(known)} are done")


def redis_server(redis: Redis) -> Iterator[Finding]:
    """Examine the version, the memory and the durability of Redis."""
    about: Any = redis.info()
    version = str(about["redis_version"])
    name = f"version {version}"
    if "valkey_version" in about:
        name = f"Valkey {about['valkey_version']}, compatible with Redis {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        yield Finding("redis", Level.WARN, name, "Allweather is tested with Redis 6.2 and later.")
    else:
        yield well("redis", f"{name}, {about['used_memory_human']} used")
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        advice = "Set maxmemory-policy to noeviction: any other policy deletes jobs and events at random."
        yield Finding("redis memory", Level.BAD, f"the policy is {policy}", advice)
    elif about.get("maxmemory") and about["used_memory"] > _FULL_MEMORY * about["maxmemory"]:
        share = about["used_memory"] / about["maxmemory"]
        yield Finding("redis memory", Level.BAD, f"{share:.0%} of maxmemory is used", "Give Redis more memory.")
    if not about.get("aof_enabled"):
        advice = "Set appendonly to yes. Nothing would be lost, but a restart delays jobs and events."
        yield Finding("redis durability", Level.WARN, "there is no append-only file", advice)


def postgresql_clock() -> Iterator[Finding]:
    """Compare the clock of this machine with that of PostgreSQL."""
    seconds = _skew(lambda: float(read("SELECT extract(epoch FROM clock_timestamp())").fetch_value()))
    yield _clock("clock of postgresql", seconds)


def redis_clock(redis: Redis) -> Iterator[Finding]:
    """Compare the clock of this machine with that of Redis."""

    def now() -> float:
        whole, millionths = redis.time()
        return float(whole) + float(millionths) / 1_000_000

    yield _clock("clock of redis", _skew(now))


def _skew(remote: Callable[[], float]) -> float:
    """Return by how many seconds another clock differs; the time of the round trip cannot be told apart from that."""
    remote()  # The first call may open a connection, which takes time.
    before = time.time()
    there = remote()
    after = time.time()
    return max(before - there, there - after, 0.0)


def _clock(subject: str, seconds: float) -> Finding:
    level = graded(seconds, warn_from=_SKEW_WARNING_SECONDS, bad_from=_SKEW_BAD_SECONDS)
    advice = "Synchronize the clocks of all machines, with chrony or systemd-timesyncd." if level else ""
    return Finding(subject, level, f"differs by {seconds:.1f} s", advice)
