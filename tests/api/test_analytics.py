"""The analytics over HTTP."""

import pytest

from core.db import unit_of_work
from core.policy import Actor
from core.services.weather_outcomes import DONE, MOVED, WARNED, record_outcome
from tests.api.callers import Caller, assert_problem, create_task, invalid_fields
from tests.builders import create_task as create_task_of

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
