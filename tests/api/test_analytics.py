"""The analytics over HTTP."""

import pytest

from core.db import unit_of_work
from core.policy import Actor
from core.services.weather_outcomes import DONE, MOVED, WARNED, record_outcome
from tests.api.callers import Caller, assert_problem, create_task, invalid_fields
from tests.builders import create_task as create_task_of
from tests.sql import execute

PATHS = ["/api/v1/analytics", "/analytics"]


@pytest.mark.parametrize("path", PATHS)
def test_users_see_figures_of_their_own_tasks(path: str, as_alice: Caller, as_mallory: Caller) -> None:
    create_task(as_alice)
    create_task(as_alice, status="done")

    body = as_alice.get(path).json()

    assert set(body) == {"by_status", "by_user", "as_of"}
    assert body["by_status"] == {"todo": 1, "in_progress": 0, "done": 1}
    assert body["by_user"] == {"alice": 2}
    assert as_mallory.get(path).json()["by_user"] == {}


def test_an_admin_sees_the_figures_of_all_users(as_alice: Caller, as_bob: Caller, as_ada: Caller) -> None:
    create_task(as_alice)
    create_task(as_bob)

    assert as_ada.get("/analytics").json()["by_user"] == {"alice": 1, "bob": 1}


def test_start_and_end_dates_limit_the_figures(as_alice: Caller) -> None:
    create_task(as_alice)

    assert as_alice.get("/analytics?start_date=2020-01-01").json()["by_user"] == {"alice": 1}
    assert as_alice.get("/analytics?end_date=2020-01-01").json()["by_user"] == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start_date=yesterday", "start_date"),
        ("end_date=2026-02-30", "end_date"),
        ("start_date=2026-05-02&end_date=2026-05-01", "end_date"),
        ("from=2026-05-01", "from"),
    ],
)
def test_invalid_dates_are_refused_with_the_field(query: str, field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.get(f"/analytics?{query}"), 422, "invalid")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_without_a_token_analytics_are_refused(anybody: Caller) -> None:
    assert_problem(anybody.get("/analytics"), 401, "token_missing")


class TestWeather:
    """What is counted and when is shown in `tests/core/test_weather_rules.py`."""

    PATH = "/api/v1/analytics/weather"

    @pytest.fixture(autouse=True)
    def _outcomes(self, database: None, alice: Actor, bob: Actor) -> None:
        own, other = (create_task_of(actor, city="Oslo") for actor in (alice, bob))
        with unit_of_work():
            for kind, task_id in ((WARNED, own), (WARNED, own), (MOVED, own), (WARNED, other), (DONE, other)):
                record_outcome(kind, task_id)

    def test_users_see_what_happened_to_their_own_tasks_and_an_admin_to_all(
        self, as_alice: Caller, as_mallory: Caller, as_ada: Caller
    ) -> None:
        counts = {"warned": 1, "moved": 1, "done_in_spite": 0}
        nowhere = {"place_id": None, "name": None, "country_code": None}

        assert as_alice.get(self.PATH).json() | {"as_of": None} == {
            "total": counts,
            "by_place": [nowhere | counts],
            "as_of": None,
        }
        assert as_ada.get(self.PATH).json()["total"] == {"warned": 2, "moved": 1, "done_in_spite": 1}
        empty = as_mallory.get(self.PATH).json()
        assert (empty["total"], empty["by_place"]) == (dict.fromkeys(counts, 0), [])

    def test_dates_limit_them_and_must_be_in_order(self, as_alice: Caller) -> None:
        refused = as_alice.get(f"{self.PATH}?start_date=2026-05-02&end_date=2026-05-01")

        assert as_alice.get(f"{self.PATH}?end_date=2020-01-01").json()["by_place"] == []
        assert as_alice.get(f"{self.PATH}?start_date=2020-01-01").json()["total"]["warned"] == 1
        assert invalid_fields(refused) == ["end_date"]

    def test_they_need_a_token(self, anybody: Caller) -> None:
        assert_problem(anybody.get(self.PATH), 401, "token_missing")


DAYS = "/api/v1/analytics/days"


def figures_by_day(caller: Caller, query: str) -> dict[str, tuple[int, int, int]]:
    """Return what was created, done and overdue on each day on which there was anything."""
    response = caller.get(f"{DAYS}?{query}")
    assert response.status_code == 200, response.text
    days = response.json()["days"]
    found = {day["day"]: (day["created"], day["done"], day["overdue"]) for day in days}
    return {day: figures for day, figures in found.items() if any(figures)}


class TestByDay:
    def test_each_day_has_what_was_created_done_and_missed_on_it(self, as_alice: Caller, as_mallory: Caller) -> None:
        create_task(as_alice)
        create_task(as_alice, status="done", due_at="2026-01-05T12:00:00Z")
        create_task(as_alice, due_at="2026-01-05T12:00:00Z")
        set_created("2026-01-04T10:00:00Z")

        assert figures_by_day(as_alice, "start_date=2026-01-01&end_date=2026-01-31") == {
            "2026-01-04": (3, 1, 0),
            "2026-01-05": (0, 0, 1),
        }
        assert figures_by_day(as_mallory, "start_date=2026-01-01&end_date=2026-01-31") == {}

    def test_every_day_of_the_span_is_there(self, as_alice: Caller) -> None:
        body = as_alice.get(f"{DAYS}?start_date=2026-02-27&end_date=2026-03-02").json()

        assert set(body) == {"days", "as_of"}
        assert [day["day"] for day in body["days"]] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]

    @pytest.mark.parametrize(
        ("zone", "day"),
        [("UTC", "2026-03-28"), ("America/Los_Angeles", "2026-03-28"), ("Pacific/Auckland", "2026-03-29")],
    )
    def test_days_are_those_of_the_time_zone(self, zone: str, day: str, as_alice: Caller) -> None:
        create_task(as_alice)
        set_created("2026-03-28T23:30:00Z")

        assert figures_by_day(as_alice, f"start_date={day}&end_date={day}&timezone={zone}") == {day: (1, 0, 0)}

    def test_an_admin_sees_the_days_of_all_users(self, as_alice: Caller, as_bob: Caller, as_ada: Caller) -> None:
        create_task(as_alice)
        create_task(as_bob)
        set_created("2026-01-04T10:00:00Z")

        assert figures_by_day(as_ada, "start_date=2026-01-04&end_date=2026-01-04") == {"2026-01-04": (2, 0, 0)}

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("end_date=2026-01-01", "start_date"),
            ("start_date=2026-01-02&end_date=2026-01-01", "end_date"),
            ("start_date=2025-01-01&end_date=2026-01-02", "end_date"),
            ("start_date=2026-01-01&end_date=2026-01-02&timezone=Mars/Olympus", "timezone"),
        ],
    )
    def test_an_invalid_span_is_refused_with_the_field(self, query: str, field: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.get(f"{DAYS}?{query}"), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == [field]

    def test_a_span_may_have_a_whole_leap_year(self, as_alice: Caller) -> None:
        assert len(as_alice.get(f"{DAYS}?start_date=2024-01-01&end_date=2024-12-31").json()["days"]) == 366

    def test_without_a_token_days_are_refused(self, anybody: Caller) -> None:
        assert_problem(anybody.get(f"{DAYS}?start_date=2026-01-01&end_date=2026-01-02"), 401, "token_missing")


def set_created(at: str) -> None:
    """Move all tasks to a time at which they were created, and done if they are done."""
    execute(
        "UPDATE tasks SET created_at = %(at)s, completed_at = CASE WHEN status = 'done' THEN %(at)s::timestamptz END",
        {"at": at},
    )
