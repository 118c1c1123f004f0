"""Reminders and missed deadlines: told once each, late rather than never, and in nobody's way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core import events
from core.db import unit_of_work
from core.policy import Actor
from core.services import reminders, tasks
from core.services.reminders import fire_reminders, notify_overdue
from tests.builders import create_task, read_task
from tests.sql import execute
from tests.threads import at_once, disconnecting

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime.now(UTC)
LONG_AGO, LATELY, SOON = NOW - timedelta(days=30), NOW - timedelta(minutes=1), NOW + timedelta(days=1)
MORE_THAN_A_BATCH = 230


def remind(actor: Actor, task_id: int, at: datetime | None = None, before_due: int | None = None) -> int:
    return reminders.create_reminder(actor, task_id, at, before_due).id


def only_reminder(actor: Actor, task_id: int) -> dict[str, Any]:
    reminder: dict[str, Any]
    (reminder,) = orjson.loads(reminders.list_reminders(actor, task_id).items)
    return reminder


def told(kind: str) -> list[int]:
    """The tasks of which something was told, each as often as it was."""
    return [task for (task,) in execute("SELECT task_id FROM events WHERE type = %s ORDER BY id", (kind,)).fetchall()]


def let_pass(task_id: int, **moments: datetime) -> None:
    """Move times of a task, as if the clock had gone on."""
    columns = ", ".join(f"{name} = %({name})s" for name in moments)
    table = "reminders" if "fires_at" in moments else "tasks"
    key = "task_id" if table == "reminders" else "id"
    with unit_of_work():
        execute(f"UPDATE {table} SET {columns} WHERE {key} = %(task_id)s", moments | {"task_id": task_id})


class TestReminders:
    def test_one_is_told_to_the_tasks_people_once(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        reminder_id = remind(bob, task_id, LATELY)
        create_task(mallory)

        assert [fire_reminders(), fire_reminders()] == [1, 0]

        recorded = execute("SELECT task_id, actor_id, audience, data FROM events WHERE type = 'task.reminder'")
        task = read_task(alice, task_id)
        (row,) = recorded.fetchall()
        assert row[:3] == (task_id, None, [alice.user_id, bob.user_id])
        assert row[3] == task | {"reminder": {"id": reminder_id}}
        assert task["version"] == 1
        assert only_reminder(alice, task_id)["fired_at"] is not None

    def test_one_whose_time_has_not_come_waits(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        remind(alice, task_id, SOON)
        remind(alice, task_id, before_due=60)
        without_deadline = create_task(alice)
        remind(alice, without_deadline, before_due=60)

        assert fire_reminders() == 0
        assert told(events.TASK_REMINDER) == []

    def test_one_that_was_missed_is_told_late(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LONG_AGO)
        remind(alice, task_id, before_due=3600)

        assert fire_reminders() == 1
        assert told(events.TASK_REMINDER) == [task_id]

    def test_each_of_a_task_is_told(self, alice: Actor) -> None:
        task_id = create_task(alice)
        remind(alice, task_id, LATELY)
        remind(alice, task_id, LONG_AGO)

        assert fire_reminders() == 2
        assert told(events.TASK_REMINDER) == [task_id, task_id]

    def test_who_has_done_it_needs_no_reminding_and_gets_none_later(self, alice: Actor) -> None:
        task_id = create_task(alice, status="done")
        remind(alice, task_id, LATELY)

        fire_reminders()
        tasks.update_task(alice, task_id, {"status": "todo"})
        fire_reminders()

        assert told(events.TASK_REMINDER) == []

    def test_one_that_was_taken_back_is_not_told(self, alice: Actor) -> None:
        task_id = create_task(alice)
        reminders.delete_reminder(alice, task_id, remind(alice, task_id, LATELY))

        assert fire_reminders() == 0

    def test_however_many_look_at_once_each_is_told_once(self, alice: Actor) -> None:
        ids = [create_task(alice) for _ in range(40)]
        for task_id in ids:
            remind(alice, task_id, LATELY)

        assert sum(at_once(lambda _: fire_reminders(), 8)) == 40
        assert sorted(told(events.TASK_REMINDER)) == ids

    def test_more_than_one_batch_is_told(self, alice: Actor) -> None:
        task_id = create_task(alice)
        with unit_of_work():
            execute(
                "INSERT INTO reminders (task_id, user_id, remind_at, fires_at)"
                " SELECT %s, %s, now(), now() FROM generate_series(1, %s)",
                (task_id, alice.user_id, MORE_THAN_A_BATCH),
            )

        assert fire_reminders() == MORE_THAN_A_BATCH
        assert len(told(events.TASK_REMINDER)) == MORE_THAN_A_BATCH

    def test_what_a_worker_does_not_finish_is_told_by_the_next(self, alice: Actor) -> None:
        task_id = create_task(alice)
        remind(alice, task_id, LATELY)

        def die_before_the_commit() -> None:
            with unit_of_work():
                assert fire_reminders() == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            die_before_the_commit()

        assert fire_reminders() == 1
        assert told(events.TASK_REMINDER) == [task_id]


class TestMovingDeadlines:
    @pytest.fixture
    def fired(self, alice: Actor) -> int:
        """A task whose reminder, an hour before the deadline, has fired."""
        task_id = create_task(alice, due_at=LATELY)
        remind(alice, task_id, before_due=3600)
        assert fire_reminders() == 1
        return task_id

    def test_a_later_deadline_brings_a_new_reminder(self, fired: int, alice: Actor) -> None:
        tasks.update_task(alice, fired, {"due_at": SOON})

        moved = only_reminder(alice, fired)
        assert datetime.fromisoformat(moved["fires_at"]) == SOON - timedelta(hours=1)
        assert moved["fired_at"] is None
        assert fire_reminders() == 0

        let_pass(fired, fires_at=LATELY)
        assert fire_reminders() == 1
        assert told(events.TASK_REMINDER) == [fired, fired]

    @pytest.mark.parametrize("deadline", [LONG_AGO, NOW + timedelta(minutes=30), None])
    def test_a_deadline_that_leaves_it_in_the_past_brings_none(
        self, deadline: datetime | None, fired: int, alice: Actor
    ) -> None:
        before = only_reminder(alice, fired)["fired_at"]

        tasks.update_task(alice, fired, {"due_at": deadline})

        assert only_reminder(alice, fired)["fired_at"] == before
        assert fire_reminders() == 0

    def test_a_deadline_that_went_and_came_back_brings_one(self, fired: int, alice: Actor) -> None:
        tasks.update_task(alice, fired, {"due_at": None})
        assert only_reminder(alice, fired)["fires_at"] is None
        tasks.update_task(alice, fired, {"due_at": SOON})

        assert only_reminder(alice, fired)["fired_at"] is None

    def test_one_that_waits_is_told_where_the_deadline_comes_nearer(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        remind(alice, task_id, before_due=3600)
        tasks.update_task(alice, task_id, {"due_at": NOW + timedelta(minutes=30)})

        assert fire_reminders() == 1

    def test_other_tasks_and_times_of_their_own_stay(self, alice: Actor) -> None:
        moved, other = (create_task(alice, due_at=SOON) for _ in range(2))
        remind(alice, moved, SOON)
        remind(alice, other, before_due=3600)
        before = [only_reminder(alice, task_id) for task_id in (moved, other)]

        tasks.update_task(alice, moved, {"due_at": SOON + timedelta(days=1)})

        assert [only_reminder(alice, task_id) for task_id in (moved, other)] == before

    def test_firing_stays_out_of_the_way_of_who_is_changing_the_task(self, alice: Actor) -> None:
        task_id, other = create_task(alice, due_at=LATELY), create_task(alice)
        remind(alice, task_id, before_due=60)
        remind(alice, other, LATELY)

        with unit_of_work():
            tasks.update_task(alice, task_id, {"title": "about to be moved"})
            # Whoever fires neither waits for this, nor holds what the next change needs.
            assert at_once(lambda _: fire_reminders(), 1) == [1]
            tasks.update_task(alice, task_id, {"due_at": SOON})

        assert told(events.TASK_REMINDER) == [other]
        assert fire_reminders() == 0

    def test_deadlines_that_move_while_reminders_fire_lose_none(self, alice: Actor) -> None:
        ids = [create_task(alice, due_at=LATELY) for _ in range(20)]
        for task_id in ids:
            remind(alice, task_id, before_due=60)

        def move(task_id: int) -> None:
            tasks.update_task(alice, task_id, {"due_at": LONG_AGO})

        with ThreadPoolExecutor(4) as pool:
            moving = [pool.submit(disconnecting(move), task_id) for task_id in ids]
            at_once(lambda _: fire_reminders(), 4)
            for move_made in moving:
                move_made.result()
        fire_reminders()

        assert sorted(told(events.TASK_REMINDER)) == ids


class TestMissedDeadlines:
    def test_one_is_told_to_the_tasks_people_once(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY, assignee_id=bob.user_id)
        create_task(alice, due_at=SOON)
        create_task(alice)

        assert [notify_overdue(), notify_overdue()] == [1, 0]

        recorded = execute("SELECT task_id, actor_id, audience, data FROM events WHERE type = 'task.overdue'")
        task = read_task(alice, task_id)
        assert recorded.fetchall() == [(task_id, None, [alice.user_id, bob.user_id], task)]
        assert task["version"] == 1

    def test_it_is_told_when_its_time_comes(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        assert notify_overdue() == 0

        let_pass(task_id, due_at=LATELY)

        assert notify_overdue() == 1

    def test_what_is_done_is_not_missed_unless_it_is_reopened(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY, status="done")
        assert notify_overdue() == 0

        tasks.update_task(alice, task_id, {"status": "todo"})

        assert notify_overdue() == 1

    def test_it_is_told_again_when_the_task_was_done_and_reopened(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, {"status": "done"})
        assert notify_overdue() == 0
        tasks.update_task(alice, task_id, {"status": "in_progress"})

        assert [notify_overdue(), notify_overdue()] == [1, 0]

    def test_it_is_told_again_when_another_deadline_is_missed(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, {"due_at": SOON})
        assert notify_overdue() == 0
        let_pass(task_id, due_at=LONG_AGO)

        assert [notify_overdue(), notify_overdue()] == [1, 0]
        assert told(events.TASK_OVERDUE) == [task_id, task_id]

    @pytest.mark.parametrize("changes", [{"status": "in_progress"}, {"title": "late"}, {"due_at": LATELY}])
    def test_it_is_not_told_again_for_any_other_change(self, changes: dict[str, Any], alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, changes)

        assert notify_overdue() == 0

    def test_however_many_look_at_once_each_is_told_once(self, alice: Actor) -> None:
        ids = [create_task(alice, due_at=LATELY) for _ in range(40)]

        assert sum(at_once(lambda _: notify_overdue(), 8)) == 40
        assert sorted(told(events.TASK_OVERDUE)) == ids

    def test_more_than_one_batch_is_told(self, alice: Actor) -> None:
        with unit_of_work():
            execute(
                "INSERT INTO tasks (title, user_id, due_at) SELECT 'late', %s, now() FROM generate_series(1, %s)",
                (alice.user_id, MORE_THAN_A_BATCH),
            )

        assert notify_overdue() == MORE_THAN_A_BATCH
        assert len(set(told(events.TASK_OVERDUE))) == MORE_THAN_A_BATCH
