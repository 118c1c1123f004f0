"""The history of a task, over HTTP."""

from typing import Any

from redis import Redis

from core.config import Settings
from core.policy import Actor
from core.services.weather import enrich
from tests.api.callers import Caller, create_task_at
from tests.doubles.weather import WeatherServer
from tests.job_context import job_context
from tests.sql import execute

DUE = "2030-05-01T09:00:00+00:00"


def history(caller: Caller, task: str, query: str = "") -> list[dict[str, Any]]:
    response = caller.get(f"{task}/activity{query}")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def test_the_history_lists_actors_and_changes_newest_first(
    as_alice: Caller, as_bob: Caller, alice: Actor, bob: Actor
) -> None:
    task = create_task_at(as_alice)
    as_alice.patch(task, json={"assignee_id": bob.user_id, "due_at": DUE})
    as_bob.patch(task, json={"status": "done", "title": "Clean the gutters"})
    as_bob.post(f"{task}/comments", json={"body": "Done"})

    entries = history(as_alice, task)

    assert [(entry["type"], entry["actor_id"], entry["changes"]) for entry in entries] == [
        ("task.commented", bob.user_id, {}),
        ("task.updated", bob.user_id, {"status": {"from": "todo", "to": "done"}}),
        ("task.assigned", alice.user_id, {}),
        (
            "task.updated",
            alice.user_id,
            {"assignee_id": {"from": None, "to": bob.user_id}, "due_at": {"from": None, "to": DUE}},
        ),
        ("task.created", alice.user_id, {}),
    ]
    assert list(entries[0]) == "id at type actor_id changes".split()
    times = [entry["at"] for entry in entries]
    assert times == sorted(times, reverse=True)


def test_pages_neither_skip_nor_repeat(as_alice: Caller) -> None:
    task = create_task_at(as_alice)
    for number in range(4):
        as_alice.patch(task, json={"title": f"title {number}"})
    whole = history(as_alice, task)

    pages = [as_alice.get(f"{task}/activity?skip={skip}&limit=2") for skip in (0, 2, 4, 6)]

    assert [entry for page in pages for entry in page.json()["items"]] == whole
    assert [len(page.json()["items"]) for page in pages] == [2, 2, 1, 0]
    assert {page.headers["X-Total-Count"] for page in pages} == {"5"}


def test_refused_and_empty_changes_are_not_in_the_history(task: str, as_alice: Caller, as_bob: Caller) -> None:
    before = history(as_alice, task)
    as_bob.delete(task)
    as_bob.patch(task, json={"status": "todo"})
    as_bob.patch(task, json={"assignee_id": None})

    assert history(as_alice, task) == before


def test_the_history_needs_no_events(task: str, as_alice: Caller) -> None:
    before = history(as_alice, task)
    execute("DELETE FROM events")

    assert history(as_alice, task) == before


def test_a_weather_update_has_no_actor(as_alice: Caller, settings: Settings, redis: Redis) -> None:
    task = create_task_at(as_alice, city="London")
    with WeatherServer() as weather:
        urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
        weather_settings = settings.model_copy(update=urls)
        enrich(job_context(weather_settings, redis))

    newest = history(as_alice, task)[0]
    assert (newest["type"], newest["actor_id"]) == ("task.enriched", None)
