"""The processes that run, and what they do. Each writes it every few seconds, see `core.heartbeat`."""

import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import orjson

from core import __version__
from core.activity import ActivityKind, Tallies, percentile
from core.db import read, unit_of_work, write

SILENT_SECONDS: Final = 30
"""A process that has written nothing for so long has ended or hangs."""

# A process that ends as it should says so. One that was killed is shown for a while.
_FORGET: Final = "5 minutes"
_KEEP_ACTIVITY: Final = "2 hours"
WINDOW_MINUTES: Final = 15
"""How far back the numbers of what was done reach."""

_BEAT: Final = """
INSERT INTO processes (id, kind, name, version, host, pid, memory_bytes, sockets)
VALUES (%(id)s, %(kind)s, %(name)s, %(version)s, %(host)s, %(pid)s, %(memory_bytes)s, %(sockets)s)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), memory_bytes = excluded.memory_bytes, sockets = excluded.sockets
"""

# All processes write their rows in the same order, so no two of them wait for each other.
_ADD: Final = """
INSERT INTO activity AS before (minute, kind, name, number, refused, failed, classes)
SELECT date_trunc('minute', now()), kind, name, number, refused, failed, classes
FROM json_to_recordset(%(tallies)s)
    AS tally (kind text, name text, number bigint, refused bigint, failed bigint, classes bigint[])
ORDER BY kind, name
ON CONFLICT (minute, kind, name) DO UPDATE SET
    number = before.number + excluded.number,
    refused = before.refused + excluded.refused,
    failed = before.failed + excluded.failed,
    classes = ARRAY(SELECT a + b FROM unnest(before.classes, excluded.classes) WITH ORDINALITY AS both_of (a, b, place)
                    ORDER BY place)
"""

_PURGE: Final = f"""
WITH forgotten AS (DELETE FROM processes WHERE heartbeat_at < now() - interval '{_FORGET}')
DELETE FROM activity WHERE minute < now() - interval '{_KEEP_ACTIVITY}'
"""

_PROCESSES: Final = """
SELECT coalesce(json_agg(json_build_object(
    'kind', kind, 'name', name, 'version', version, 'host', host, 'pid', pid, 'started_at', started_at,
    'uptime_seconds', extract(epoch FROM heartbeat_at - started_at)::bigint, 'memory_bytes', memory_bytes,
    'sockets', sockets, 'heartbeat_at', heartbeat_at,
    'state', CASE WHEN heartbeat_at > now() - make_interval(secs => %s) THEN 'ok' ELSE 'bad' END
) ORDER BY kind, name, started_at), '[]')::text FROM processes
"""

_ACTIVITY: Final = f"""
WITH recent AS (
    SELECT * FROM activity WHERE kind = %s AND minute >= now() - interval '{WINDOW_MINUTES} minutes'
), merged AS (
    SELECT name, place, sum(cases)::bigint AS cases
    FROM recent CROSS JOIN unnest(recent.classes) WITH ORDINALITY AS class (cases, place) GROUP BY name, place
)
SELECT name, sum(number)::bigint, sum(refused)::bigint, sum(failed)::bigint,
       (SELECT array_agg(cases ORDER BY place) FROM merged WHERE merged.name = recent.name)
FROM recent GROUP BY name ORDER BY 2 DESC, 1
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process this is. Each start of a process has another `id`."""

    kind: Literal["web", "worker", "beat"]
    name: str
    version: str = __version__
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    id: str = field(default_factory=lambda: secrets.token_hex(16))


def beat(identity: Identity, *, memory_bytes: int | None, sockets: int | None, tallies: Tallies) -> None:
    """Write that a process runs, and what it has done since it wrote last."""
    rows = [{"kind": kind, "name": name, **asdict(tally)} for (kind, name), tally in tallies.items()]
    with unit_of_work():
        write(_BEAT, asdict(identity) | {"memory_bytes": memory_bytes, "sockets": sockets})
        if rows:
            write(_ADD, {"tallies": orjson.dumps(rows).decode()})


def end(identity: Identity) -> None:
    """Write that a process has ended as it should."""
    with unit_of_work():
        write("DELETE FROM processes WHERE id = %s", (identity.id,))


def forget_old() -> None:
    """Forget processes that have ended minutes ago, and what was done hours ago."""
    with unit_of_work():
        write(_PURGE)


def list_processes() -> list[dict[str, Any]]:
    """Return the processes, also those that have ended a moment ago."""
    processes: list[dict[str, Any]] = orjson.loads(read(_PROCESSES, (SILENT_SECONDS,)).fetch_value())
    return processes


def list_activity(kind: ActivityKind) -> list[dict[str, Any]]:
    """Return what was done in the last `WINDOW_MINUTES` minutes, the most frequent first, with percentiles."""
    return [
        {
            "name": name,
            "number": number,
            "refused": refused,
            "failed": failed,
            "p50_ms": percentile(classes, 0.5),
            "p99_ms": percentile(classes, 0.99),
        }
        for name, number, refused, failed, classes in read(_ACTIVITY, (kind,)).fetch_all()
    ]
