"""Each page of the audit log is found by an index, also among many entries."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core import db
from core.db import read, unit_of_work
from core.services import audit
from core.services.audit import AuditFilter
from tests.sql import execute
from tests.statements import statements_with_values

# A day and an account of many entries, and an action and an address that most entries have.
LONG_AGO = {"since": datetime(2026, 1, 2, tzinfo=UTC), "before": datetime(2026, 1, 3, tzinfo=UTC)}
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "a span": LONG_AGO,
    "an action": {"action": "account.changed"},
    "a frequent action": {"action": "login.succeeded"},
    "an actor": {"actor_id": 7},
    "an address": {"ip_address": "203.0.113.7"},
    "a frequent action in a span": {"action": "login.succeeded"} | LONG_AGO,
    "a frequent address in a span": {"ip_address": "198.51.100.1"} | LONG_AGO,
}


@pytest.fixture(scope="module", autouse=True)
def _many_entries(postgres_url: str) -> Iterator[None]:
    db.configure(postgres_url, application="tests", statement_seconds=60)
    execute("TRUNCATE audit_log")
    execute(
        """
        INSERT INTO audit_log (at, action, actor_id, user_id, ip_address, details)
        SELECT timestamptz '2026-01-01' + n * interval '1 minute',
               CASE WHEN n %% 1000 = 0 THEN 'account.changed' ELSE 'login.succeeded' END, n %% 1000, n %% 1000,
               CASE WHEN n %% 1000 = 7 THEN '203.0.113.7' ELSE '198.51.100.1' END, '{}'
        FROM generate_series(1, 50000) n
        """,
        {},
    )
    execute("VACUUM ANALYZE audit_log")
    yield
    execute("TRUNCATE audit_log")
    db.disconnect()


@pytest.mark.parametrize("is_late", [False, True], ids=["first", "late"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_page_reads_only_its_entries(name: str, is_late: bool) -> None:
    which = AuditFilter(**FILTERS[name])
    cursor = audit.read_audit_log(which, None, 20, 10).next_cursor if is_late else None
    page = explained(which, cursor)

    assert page["Node Type"] == "Index Scan", page
    assert page["Actual Rows"] == 11
    assert page.get("Rows Removed by Filter", 0) <= 1


def test_the_entries_of_an_account_are_found_by_an_index() -> None:
    assert explained(AuditFilter(user_id=7), None).get("Index Name") == "audit_log_user"


def explained(which: AuditFilter, cursor: str | None) -> dict[str, Any]:
    """Return the scan that reads the entries of a page of ten."""
    with unit_of_work():
        read("SELECT 1")
        with statements_with_values() as sent:
            audit.read_audit_log(which, cursor, 0, 10)
        ((plan,),) = read(f"EXPLAIN (ANALYZE, FORMAT JSON) {sent[-1]}").fetch_all()
    return scan_of(next(node for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Limit"))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def scan_of(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the node of a plan that reads the index of the table."""
    return next(node for node in nodes(plan) if "Index Name" in node or node["Node Type"] == "Seq Scan")
