"""Admins see the state of the installation over HTTP."""

from collections.abc import Callable

import pytest

from core.activity import ACTIVITY, RATE_LIMITED
from core.config import Settings
from core.policy import Actor
from core.services.measures import MEASURES
from tests.api.callers import Caller, assert_problem, invalid_fields
from tests.sql import execute

OPERATIONS = "/api/v1/admin/operations"


@pytest.mark.parametrize("path", [OPERATIONS, f"{OPERATIONS}/series"])
def test_only_admins_see_the_operations(path: str, as_mallory: Caller, as_alice: Caller, anybody: Caller) -> None:
    for caller in (as_mallory, as_alice):
        assert_problem(caller.get(path), 403, "admin_required")
    assert_problem(anybody.get(path), 401, "token_missing")


def test_the_overview_has_every_measure_and_the_queues(as_ada: Caller) -> None:
    response = as_ada.get(OPERATIONS, headers={"Accept-Language": "fr"})

    found = response.json()
    assert [measure["name"] for measure in found["measures"]] == [measure.name for measure in MEASURES]
    (worker,) = (measure for measure in found["measures"] if measure["name"] == "processes.worker")
    assert worker["advice"].startswith("Aucun")
    assert [queue["name"] for queue in found["queues"]] == ["events", "mail", "maintenance", "weather"]
    assert found["processes"] == []


def test_without_redis_the_overview_is_still_served(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], ada: Actor, unused_tcp_port: int
) -> None:
    redis_url = settings.model_validate(settings.model_dump() | {"redis_url": f"redis://127.0.0.1:{unused_tcp_port}/0"})

    found = client_with_settings(redis_url)(ada).get(OPERATIONS).json()

    (redis,) = (measure for measure in found["measures"] if measure["name"] == "redis.available")
    assert (redis["state"], redis["runbook"], found["queues"]) == ("bad", "redis", [])


def test_a_series_is_read_and_a_wrong_span_is_refused(as_ada: Caller) -> None:
    execute("INSERT INTO measurements (name, at, value) VALUES ('sockets.open', now(), 5)")

    found = as_ada.get(f"{OPERATIONS}/series?hours=1").json()

    assert found["step_minutes"] == 1
    assert [value for _, value in found["series"]["sockets.open"]] == [5]
    assert invalid_fields(as_ada.get(f"{OPERATIONS}/series?hours=49")) == ["hours"]


def test_requests_are_counted_by_route_with_their_outcome(as_alice: Caller, anybody: Caller) -> None:
    ACTIVITY.take()
    as_alice.get("/api/v1/tasks")
    anybody.get("/api/v1/tasks")
    anybody.get("/no/such/route")
    anybody("BREW", "/api/v1/tasks")

    tallies = {name: tally for (kind, name), tally in ACTIVITY.take().items() if kind == "request"}

    assert (tallies["GET /api/v1/tasks"].number, tallies["GET /api/v1/tasks"].refused) == (2, 1)
    assert tallies["GET unknown"].refused == 1
    assert not [name for name in tallies if "BREW" in name or "such" in name]


def test_requests_over_a_limit_are_counted(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor
) -> None:
    limited = client_with_settings(settings.model_copy(update={"rate_limit": "2/hour"}))(alice)
    ACTIVITY.take()

    statuses = [limited.get("/api/v1/tasks").status_code for _ in range(4)]

    assert statuses == [200, 200, 429, 429]
    assert ACTIVITY.take()["count", RATE_LIMITED].number == 2
