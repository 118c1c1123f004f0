"""Better times of a task over HTTP, and its move to one of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.db import unit_of_work
from core.policy import Actor
from tests.api.callers import TASKS, Caller, assert_problem, id_in, invalid_fields
from tests.builders import create_task
from tests.forecasts import HOUR, create_place, fine_forecast
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
RULE = {"max_wind": 30}


def at(hours: float) -> str:
    """Return a time of the first day of the forecast."""
    return (MIDNIGHT + hours * HOUR).isoformat()


@pytest.fixture
def task(alice: Actor, bob: Actor) -> str:
    """The path of a task of Alice and Bob, at nine on a day on which the wind is too strong until noon."""
    forecast = fine_forecast(MIDNIGHT, 24, wind=dict.fromkeys(range(12), 50), gusts={13: None})
    task_id = create_task(
        alice,
        assignee_id=bob.user_id,
        place_id=create_place(forecast=forecast),
        due_at=MIDNIGHT + 9 * HOUR,
        duration_minutes=120,
        weather_rule=RULE,
    )
    return f"{TASKS}/{task_id}"


def found(caller: Caller, task: str, **query: Any) -> dict[str, Any]:
    response = caller.get(f"{task}/better-times", params=query)
    assert response.status_code == 200, response.text
    times: dict[str, Any] = response.json()
    return times


def test_the_best_spans_come_with_their_weather_and_a_reason(task: str, as_alice: Caller) -> None:
    times = found(as_alice, task, limit=1)

    assert times == {
        "status": "ready",
        "items": [
            {
                "starts_at": at(12),
                "ends_at": at(14),
                "due_at": at(14),
                "reason": "dry, 18 °C, 5 km/h",
                "temperature": 18,
                "rain_probability": 0,
                "rain": 0,
                "wind": 5,
                "gusts": 10,
            }
        ],
        "rule": RULE,
        "provider": "open-meteo",
        "attribution": "Weather data by Open-Meteo.com (CC BY 4.0)",
        "fetched_at": MIDNIGHT.isoformat(),
    }


def test_the_reason_is_in_the_language_of_the_reader(task: str, as_alice: Caller) -> None:
    response = as_alice.get(f"{task}/better-times", params={"limit": 1}, headers={"Accept-Language": "fr"})

    assert response.headers["Content-Language"] == "fr"
    assert response.json()["items"][0]["reason"] == "sec, 18 °C, 5 km/h"


def test_the_search_can_be_bounded(task: str, as_alice: Caller) -> None:
    times = found(as_alice, task, **{"from": at(15), "to": at(18), "limit": 20})
    assert [item["starts_at"] for item in times["items"]] == [at(15)]

    assert found(as_alice, task, to=at(13))["items"] == []


def test_those_who_may_read_the_task_find_the_same_with_and_without_a_version(
    task: str, as_alice: Caller, as_bob: Caller, as_ada: Caller
) -> None:
    times = [found(caller, task) for caller in (as_alice, as_bob, as_ada)]

    assert times == [found(as_alice, task.removeprefix("/api/v1"))] * 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-05-01"}, "from"),
        ({"to": "tomorrow"}, "to"),
        ({"from": at(2), "to": at(2)}, "to"),
        ({"limit": 0}, "limit"),
        ({"limit": 21}, "limit"),
        ({"start": at(2)}, "start"),
    ],
)
def test_a_wrong_query_is_refused(query: dict[str, Any], field: str, task: str, as_alice: Caller) -> None:
    assert invalid_fields(as_alice.get(f"{task}/better-times", params=query)) == [field]


def test_a_task_without_a_place_or_a_forecast_says_so(as_alice: Caller, alice: Actor) -> None:
    without_place, without_forecast = (
        f"{TASKS}/{create_task(alice, place_id=place)}" for place in (None, create_place())
    )

    nothing = {"items": [], "rule": None, "provider": None, "attribution": None, "fetched_at": None}
    assert found(as_alice, without_place) == nothing | {"status": "no_place"}
    assert found(as_alice, without_forecast) == nothing | {"status": "no_forecast"}


@pytest.mark.parametrize("choice", [{"starts_at": at(12)}, {"due_at": at(14)}])
def test_those_who_may_change_the_task_move_it(choice: dict[str, str], task: str, as_bob: Caller) -> None:
    response = as_bob.post(f"{task}/reschedule", json=choice)

    assert response.status_code == 200, response.text
    assert response.json()["due_at"] == at(14)
    assert response.headers["ETag"] == as_bob.get(task).headers["ETag"]
    assert response.headers["ETag"].startswith('"2-')
    assert response.json() == as_bob.get(task).json()


def test_the_same_key_moves_a_task_once(task: str, as_alice: Caller) -> None:
    first, second = (
        as_alice.post(path, json={"starts_at": at(12)}, headers={"Idempotency-Key": "once"})
        for path in (f"{task}/reschedule", f"{task}/reschedule".removeprefix("/api/v1"))
    )

    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == first.json()
    assert as_alice.get(task).json()["version"] == 2


def test_an_outdated_version_is_refused(task: str, as_alice: Caller, as_bob: Caller) -> None:
    as_bob.patch(task, json={"due_at": at(20)})

    stale = as_alice.post(f"{task}/reschedule", json={"starts_at": at(12)}, headers={"If-Match": '"1"'})
    assert_problem(stale, 412, "version_mismatch")
    present = as_alice.post(f"{task}/reschedule", json={"starts_at": at(12)}, headers={"If-Match": '"2"'})
    assert present.json()["version"] == 3


def test_a_span_whose_weather_has_become_bad_is_refused(task: str, as_alice: Caller) -> None:
    with unit_of_work():
        execute("UPDATE forecasts SET wind = array_fill(500::smallint, ARRAY[24])")

    assert_problem(as_alice.post(f"{task}/reschedule", json={"starts_at": at(12)}), 409, "span_not_available")
    assert as_alice.get(task).json()["version"] == 1


@pytest.mark.parametrize("body", [{}, {"starts_at": at(12), "due_at": at(14)}, {"starts_at": None}])
def test_a_body_that_does_not_name_one_span_is_refused(body: dict[str, Any], task: str, as_alice: Caller) -> None:
    assert invalid_fields(as_alice.post(f"{task}/reschedule", json=body)) == ["starts_at"]


def test_strangers_neither_find_nor_move_and_missing_tasks_get_404(
    task: str, as_mallory: Caller, as_ada: Caller, anybody: Caller
) -> None:
    missing = f"{TASKS}/{id_in(task) + 1000}"
    for method, part, body in (("GET", "better-times", None), ("POST", "reschedule", {"starts_at": at(12)})):
        assert_problem(anybody(method, f"{task}/{part}", json=body), 401, "token_missing")
        assert_problem(as_mallory(method, f"{task}/{part}", json=body), 403, "task_forbidden")
        assert_problem(as_ada(method, f"{missing}/{part}", json=body), 404, "task_not_found")
    assert as_ada.get(task).json()["version"] == 1
