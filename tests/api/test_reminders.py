"""Reminders, over HTTP."""

from typing import Any

import pytest

from core.db import unit_of_work
from core.policy import Actor
from tests.api.callers import Caller, assert_problem, create_task_at, id_in, invalid_fields
from tests.sql import execute

DUE = "2030-05-01T09:00:00+00:00"


def test_a_reminder_can_have_a_fixed_time(task: str, as_bob: Caller, bob: Actor) -> None:
    response = as_bob.post(f"{task}/reminders", json={"remind_at": "2030-05-01T11:00:00+02:00"})

    reminder = response.json()
    assert response.status_code == 201
    assert response.headers["Location"].endswith(f"{task}/reminders/{reminder['id']}")
    assert list(reminder) == "id task_id user_id remind_at seconds_before_due fires_at fired_at created_at".split()
    assert (reminder["task_id"], reminder["user_id"]) == (id_in(task), bob.user_id)
    assert reminder["fires_at"] == reminder["remind_at"] == DUE
    assert (reminder["seconds_before_due"], reminder["fired_at"]) == (None, None)
    assert as_bob.get(f"{task}/reminders").json() == [reminder]


def test_a_reminder_before_the_deadline_follows_the_deadline(task: str, as_alice: Caller) -> None:
    created = as_alice.post(f"{task}/reminders", json={"seconds_before_due": 3600}).json()

    def fires_at() -> str | None:
        (reminder,) = as_alice.get(f"{task}/reminders").json()
        time: str | None = reminder["fires_at"]
        return time

    assert created["fires_at"] is None
    as_alice.patch(task, json={"due_at": DUE})
    assert fires_at() == "2030-05-01T08:00:00+00:00"
    as_alice.patch(task, json={"due_at": "2031-05-01T09:00:00Z", "status": "in_progress"})
    assert fires_at() == "2031-05-01T08:00:00+00:00"
    as_alice.patch(task, json={"due_at": None})
    assert fires_at() is None


def test_a_changed_deadline_does_not_change_fixed_times(task: str, as_alice: Caller) -> None:
    reminder = as_alice.post(f"{task}/reminders", json={"remind_at": DUE}).json()
    as_alice.patch(task, json={"due_at": "2031-05-01T09:00:00Z"})

    assert as_alice.get(f"{task}/reminders").json() == [reminder]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"remind_at": None, "seconds_before_due": None}, ""),
        ({"remind_at": DUE, "seconds_before_due": 60}, ""),
        ({"remind_at": "2030-05-01T09:00:00"}, "remind_at"),
        ({"remind_at": "tomorrow"}, "remind_at"),
        ({"seconds_before_due": -1}, "seconds_before_due"),
        ({"seconds_before_due": 366 * 24 * 3600 + 1}, "seconds_before_due"),
        ({"seconds_before_due": 1.5}, "seconds_before_due"),
    ],
)
def test_an_invalid_time_is_refused(body: dict[str, Any], field: str, task: str, as_bob: Caller) -> None:
    assert invalid_fields(as_bob.post(f"{task}/reminders", json=body)) == [field]
    assert as_bob.get(f"{task}/reminders").json() == []


def test_the_largest_lead_time_and_the_earliest_deadline_are_accepted(as_alice: Caller) -> None:
    task = create_task_at(as_alice, due_at="1900-01-01T00:00:00Z")
    response = as_alice.post(f"{task}/reminders", json={"seconds_before_due": 366 * 24 * 3600})

    assert response.json()["fires_at"] == "1898-12-31T00:00:00+00:00"


def test_reminders_are_listed_by_time_and_fired_ones_last(task: str, as_alice: Caller) -> None:
    later, sooner, fired, waiting = (
        as_alice.post(f"{task}/reminders", json=body).json()["id"]
        for body in (
            {"remind_at": "2031-01-01T00:00:00Z"},
            {"remind_at": "2030-01-01T00:00:00Z"},
            {"remind_at": "2020-01-01T00:00:00Z"},
            {"seconds_before_due": 0},
        )
    )
    with unit_of_work():
        execute("UPDATE reminders SET fired_at = now() WHERE id = %s", (fired,))

    listed = as_alice.get(f"{task}/reminders").json()
    assert [reminder["id"] for reminder in listed] == [sooner, later, waiting, fired]


def test_everybody_who_works_on_the_task_can_delete_a_reminder(
    task: str, as_bob: Caller, as_alice: Caller, as_mallory: Caller
) -> None:
    reminder = f"{task}/reminders/{as_alice.post(f'{task}/reminders', json={'remind_at': DUE}).json()['id']}"
    elsewhere = f"{create_task_at(as_alice)}/reminders/{id_in(reminder)}"

    assert_problem(as_mallory.delete(reminder), 403, "task_forbidden")
    assert_problem(as_alice.delete(elsewhere), 404, "reminder_not_found")
    assert as_bob.delete(reminder).status_code == 204
    assert_problem(as_bob.delete(reminder), 404, "reminder_not_found")
    assert as_alice.get(f"{task}/reminders").json() == []


def test_a_repeated_request_creates_one_reminder(task: str, as_bob: Caller) -> None:
    request = {"json": {"remind_at": DUE}, "headers": {"Idempotency-Key": "once"}}

    first, second = (as_bob.post(f"{task}/reminders", **request) for _ in range(2))

    assert first.json() == second.json()
    assert as_bob.get(f"{task}/reminders").json() == [first.json()]
