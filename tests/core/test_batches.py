"""A batch holds no more rows than it may, however PostgreSQL goes about finding them."""

from collections.abc import Iterator

import pytest

from core.db import unit_of_work
from core.policy import Actor
from core.services import analytics, retention, weather
from tests.builders import create_task
from tests.sql import execute

# Without these the planner is left with a loop that looks for the rows of a batch anew for each candidate; it also
# takes that way by itself where it believes a table to be empty.
_WAYS_AROUND = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize")


@pytest.fixture
def badly_planned(database: None) -> Iterator[None]:
    for way in _WAYS_AROUND:
        execute(f"SET enable_{way} = off")
    yield
    for way in _WAYS_AROUND:
        execute(f"SET enable_{way} = on")


@pytest.mark.usefixtures("badly_planned")
def test_deltas_are_folded_by_the_batch(alice: Actor) -> None:
    for _ in range(5):
        create_task(alice)

    assert [analytics.fold(2) for _ in range(3)] == [2, 2, 1]


@pytest.mark.usefixtures("badly_planned")
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        (retention._TICKETS, "ws_tickets"),  # noqa: SLF001 - what is tested is the statement.
        (retention._SESSIONS, "sessions"),  # noqa: SLF001 - as above.
        (retention._LOGIN_FAILURES, "login_failures"),  # noqa: SLF001 - as above.
        (retention._IDEMPOTENCY_KEYS, "idempotency_keys"),  # noqa: SLF001 - as above.
    ],
)
def test_what_is_old_is_removed_by_the_batch(statement: str, table: str, alice: Actor) -> None:
    long_ago = "now() - interval '30 days'"
    rows = {
        "sessions": f"SELECT %(user)s, {long_ago} FROM generate_series(1, 5)",
        "ws_tickets": f"SELECT int4send(n), %(session)s, {long_ago} FROM generate_series(1, 5) n",
        "login_failures": f"SELECT int4send(n), 1, {long_ago}, {long_ago} FROM generate_series(1, 5) n",
        "idempotency_keys": f"SELECT %(user)s, '/', n, '', 1, 1, '', {long_ago} FROM generate_series(1, 5) n",
    }
    columns = {
        "sessions": "user_id, expires_at",
        "ws_tickets": "ticket_hash, session_id, expires_at",
        "login_failures": "subject, failures, failed_at, blocked_until",
        "idempotency_keys": "user_id, route, key, fingerprint, created_id, version, document, created_at",
    }
    names = {"user": alice.user_id, "session": alice.session_id}
    with unit_of_work():
        execute(f"INSERT INTO {table} ({columns[table]}) {rows[table]}", names)

    removed = []
    for _ in range(3):
        with unit_of_work():
            removed.append(execute(statement, {"limit": 2}).rowcount)

    assert removed == [2, 2, 1]


@pytest.mark.usefixtures("badly_planned")
def test_weather_is_settled_by_the_batch(alice: Actor) -> None:
    for _ in range(5):
        create_task(alice, city="London")
    about = {"key": "london", "status": "unavailable", "result": None, "attempts": 0, "due_only": False}

    settled = [weather.WAITING._settle_batch(about | {"limit": 2}) for _ in range(3)]  # noqa: SLF001 - as above.

    assert settled == [2, 2, 1]
