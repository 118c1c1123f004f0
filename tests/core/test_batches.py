"""A batch has no more rows than its limit, whichever query plan PostgreSQL uses."""

from collections.abc import Iterator

import pytest

from core import db
from core.db import unit_of_work
from core.policy import Actor
from core.services import analytics, retention, weather
from tests.builders import create_task
from tests.sql import execute

# Without these methods the planner must use a nested loop, which selects the rows of the batch again for each
# candidate row. It also chooses this plan by itself if its statistics say that a table is empty.
_OTHER_METHODS = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize")


@pytest.fixture
def nested_loops_only(database: None) -> Iterator[None]:
    # The settings must apply to the connection that the services use, which stays open after the unit of work.
    with unit_of_work():
        for method in _OTHER_METHODS:
            execute(f"SET enable_{method} = off")
    yield
    db.disconnect()


@pytest.mark.usefixtures("nested_loops_only")
def test_deltas_are_folded_in_batches(alice: Actor) -> None:
    for _ in range(5):
        create_task(alice)

    assert [analytics.fold(2) for _ in range(3)] == [2, 2, 1]


@pytest.mark.usefixtures("nested_loops_only")
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        (retention._TICKETS, "ws_tickets"),  # noqa: SLF001 - the statement itself is tested.
        (retention._SESSIONS, "sessions"),  # noqa: SLF001 - as above.
        (retention._LOGIN_FAILURES, "login_failures"),  # noqa: SLF001 - as above.
        (retention._IDEMPOTENCY_KEYS, "idempotency_keys"),  # noqa: SLF001 - as above.
    ],
)
def test_old_rows_are_removed_in_batches(statement: str, table: str, alice: Actor) -> None:
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


@pytest.mark.usefixtures("nested_loops_only")
def test_weather_is_settled_in_batches(alice: Actor) -> None:
    for _ in range(5):
        create_task(alice, city="London")
    outcome = {"keys": ["london"], "statuses": ["unavailable"], "results": [None]}
    about = outcome | {"attempts": 0, "due_only": False}

    settled = [weather.WAITING._settle_batch(about | {"limit": 2}) for _ in range(3)]  # noqa: SLF001 - one batch is tested.

    assert settled == [2, 2, 1]
