"""The operator's overview: advice in the reader's language, details, and the last hours of each measure."""

from typing import Any

import pytest
from redis import Redis

from core.config import Settings
from core.db import read
from core.policy import Actor
from core.services import operations
from tests.builders import create_task
from tests.job_context import job_context
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


def overview(settings: Settings, redis: Redis, language: str = "en") -> dict[str, Any]:
    return operations.overview(settings, operations.read_queues(redis), language)


@pytest.mark.parametrize(("language", "advice"), [("en", "Start one"), ("de", "Worker"), ("ru", "Запустите")])
def test_what_is_not_ok_has_advice_in_the_language_of_the_reader(
    language: str, advice: str, settings: Settings, redis: Redis
) -> None:
    found = overview(settings, redis, language)

    measures = {measure["name"]: measure for measure in found["measures"]}
    worker, figures = measures["processes.worker"], measures["figures.waiting"]
    assert (found["state"], worker["state"], worker["runbook"]) == ("bad", "bad", "a-worker")
    assert advice in worker["advice"]
    assert (figures["state"], figures["advice"], figures["runbook"]) == ("ok", None, None)


def test_the_details_name_tables_connections_users_and_mails(settings: Settings, redis: Redis, alice: Actor) -> None:
    create_task(alice, city="Oslo")
    execute("INSERT INTO mail_counts VALUES ('sender 7', date_trunc('hour', now()), 100, 5)")
    execute("INSERT INTO stored_files (key, user_id, size) VALUES ('k', %s, 9)", (alice.user_id,))
    execute("INSERT INTO task_totals (user_id, todo) VALUES (%s, 3)", (alice.user_id,))

    found = overview(settings, redis)

    assert "events" in {table["name"] for table in found["tables"]}
    assert all(table["bytes"] > 0 for table in found["tables"])
    assert sum(each["number"] for each in found["connections"]) > 0
    assert found["capped_mails"] == [{"subject": "sender 7", "mails": 100, "refused": 5}]
    assert found["waiting_weather"] == [{"user_id": alice.user_id, "number": 1}]
    assert found["most_tasks"] == [{"user_id": alice.user_id, "number": 3}]
    assert found["most_stored"] == [{"user_id": alice.user_id, "number": 9}]
    assert found["slowest_statements"] is None


def test_the_slowest_statements_are_listed_where_postgresql_records_them(settings: Settings, redis: Redis) -> None:
    """A table stands for the view of the extension, which the PostgreSQL of the tests does not have."""
    execute("""
        CREATE TABLE pg_stat_statements (dbid oid, query text, calls bigint, total_exec_time float8,
                                         mean_exec_time float8, max_exec_time float8);
        INSERT INTO pg_stat_statements
        SELECT oid, rpad('SELECT ' || n, 1000), 2, n, n / 2.0, n FROM pg_database, generate_series(1, 12) n
        WHERE datname = current_database()
        UNION ALL
        SELECT oid, 'ALTER ROLE allweather PASSWORD ''secret''', 1, 99, 99, 99
        FROM pg_database WHERE datname = current_database()
    """)
    load = "SELECT set_config('pg_stat_statements.max', %s, false)"
    try:
        not_loaded = overview(settings, redis)["slowest_statements"]
        read(load, ("5000",))
        found = overview(settings, redis)["slowest_statements"]
    finally:
        read(load, ("",))
        execute("DROP TABLE pg_stat_statements")

    assert not_loaded is None
    assert [row["longest_ms"] for row in found] == list(range(12, 2, -1))
    assert (found[0]["statement"][:9], len(found[0]["statement"]), found[0]["mean_ms"]) == ("SELECT 12", 500, 6)


def test_a_sample_is_stored_once_a_minute_and_kept_two_days(settings: Settings, redis: Redis) -> None:
    execute("INSERT INTO measurements VALUES ('sockets.open', now() - interval '49 hours', 1)")
    context = job_context(settings, redis)
    first = operations.sample(context)
    execute("UPDATE measurements SET at = date_trunc('minute', now())")

    again = operations.sample(context)

    assert first > 20
    assert again <= first
    (stored, oldest_is_new) = execute(
        "SELECT count(*) FILTER (WHERE name = 'sockets.open'), min(at) > now() - interval '1 hour' FROM measurements"
    ).fetchone()
    assert stored in {1, 2}
    assert oldest_is_new


def test_a_series_has_averages_of_the_asked_hours(settings: Settings) -> None:
    execute("""
        INSERT INTO measurements (name, at, value)
        SELECT 'sockets.open', date_bin('12 minutes', now(), 'epoch') - make_interval(mins => n), n %% 2
        FROM generate_series(1, 24) n
        UNION ALL SELECT 'sockets.open', now() - interval '30 hours', 7
        UNION ALL SELECT 'a measure of another version', now(), 7
    """)

    day, two_days = operations.read_series(24), operations.read_series(48)

    assert (day["step_minutes"], two_days["step_minutes"]) == (12, 24)
    assert day["series"].keys() == {"sockets.open"}
    assert [value for _, value in day["series"]["sockets.open"]] == [0.5, 0.5]
    assert two_days["series"]["sockets.open"][0][1] == 7


def test_without_redis_the_queues_are_unknown(settings: Settings, redis: Redis, unused_tcp_port: int) -> None:
    unreachable: Redis = Redis(port=unused_tcp_port)

    assert operations.read_queues(unreachable) is None
    found = operations.overview(settings, None, "en")
    states = {measure["name"]: (measure["state"], measure["value"]) for measure in found["measures"]}
    assert states["redis.available"] == ("bad", 0)
    assert states["queue.mail.length"] == ("ok", None)
