"""Deadlines with and without a time: each form follows from the other, in the owner's time zone."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Invalid
from core.models.account import User
from core.policy import Actor
from core.services import reminders
from tests.builders import create_task, read_task, update_task

pytestmark = pytest.mark.usefixtures("database")

DAY = date(2026, 7, 1)
LATER = date(2026, 7, 9)
IN_LOS_ANGELES = "2026-07-02T06:59:59+00:00"
END_OF_DAY = datetime.fromisoformat(IN_LOS_ANGELES)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def alice(alice: Actor) -> Actor:
    """Alice, who lives in Los Angeles."""
    with unit_of_work():
        User.update(timezone="America/Los_Angeles").where(User.id == alice.user_id).execute()
    return replace(alice, timezone="America/Los_Angeles")


def deadline(task: dict[str, Any]) -> tuple[str | None, str | None]:
    return task["due_on"], task["due_at"]


def test_a_day_ends_in_the_time_zone_of_the_owner(alice: Actor) -> None:
    assert deadline(read_task(alice, create_task(alice, due_on=DAY))) == ("2026-07-01", IN_LOS_ANGELES)


def test_the_day_that_another_sets_ends_in_the_time_zone_of_the_owner_too(alice: Actor, bob: Actor) -> None:
    task_id = create_task(alice, assignee_id=bob.user_id)

    assert deadline(update_task(replace(bob, timezone="Asia/Tokyo"), task_id, due_on=DAY)) == (
        "2026-07-01",
        IN_LOS_ANGELES,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"due_at": NOON}, (None, "2026-07-01T12:00:00+00:00")),
        ({"due_at": None}, (None, None)),
        ({"due_on": None}, (None, None)),
        ({"due_on": None, "due_at": NOON}, (None, "2026-07-01T12:00:00+00:00")),
        ({"due_on": LATER}, ("2026-07-09", "2026-07-10T06:59:59+00:00")),
        # A client that changes a task as a whole also sends the form that it does not change.
        ({"due_on": DAY, "due_at": NOON}, (None, "2026-07-01T12:00:00+00:00")),
        (
            {"due_on": LATER, "due_at": datetime.fromisoformat(IN_LOS_ANGELES)},
            ("2026-07-09", "2026-07-10T06:59:59+00:00"),
        ),
        ({"title": "Anew"}, ("2026-07-01", IN_LOS_ANGELES)),
    ],
)
def test_of_the_two_forms_the_changed_one_counts(
    alice: Actor, changes: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    task_id = create_task(alice, due_on=DAY)

    assert deadline(update_task(alice, task_id, **changes)) == expected
    assert deadline(read_task(alice, task_id)) == expected


def test_a_day_and_a_time_that_is_not_its_end_contradict_each_other(alice: Actor) -> None:
    task_id = create_task(alice, due_on=DAY)

    for contradict in (
        lambda: create_task(alice, due_on=DAY, due_at=NOON),
        lambda: update_task(alice, task_id, due_on=LATER, due_at=NOON),
    ):
        with pytest.raises(Invalid) as failure:
            contradict()
        assert [(error.field, error.message) for error in failure.value.errors] == [("due_at", "contradicts due_on")]


def test_a_reminder_before_the_deadline_moves_with_the_day(alice: Actor) -> None:

    task_id = create_task(alice, due_on=DAY)
    reminders.create_reminder(alice, task_id, None, 3600)

    update_task(alice, task_id, due_on=LATER)

    assert "2026-07-10T05:59:59+00:00" in reminders.list_reminders(alice, task_id).items
