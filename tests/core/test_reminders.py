"""Reminders and missed deadlines: one event each, also if late, and without blocking other changes."""

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
from tests.threads import disconnecting, in_parallel

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


def tasks_with_event(kind: str) -> list[int]:
    """Return the task ids of the recorded events of this type, one for each event."""
    return [task for (task,) in execute("SELECT task_id FROM events WHERE type = %s ORDER BY id", (kind,)).fetchall()]


def move_times(task_id: int, **moments: datetime) -> None:
    """Change times of a task or of its reminders, as if time had passed."""
    columns = ", ".join(f"{name} = %({name})s" for name in moments)
    table = "reminders" if "fires_at" in moments else "tasks"
    key = "task_id" if table == "reminders" else "id"
    with unit_of_work():
        execute(f"UPDATE {table} SET {columns} WHERE {key} = %(task_id)s", moments | {"task_id": task_id})


class TestReminders:
    def test_one_event_is_sent_to_owner_and_assignee(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
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

    def test_a_reminder_does_not_fire_before_its_time(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        remind(alice, task_id, SOON)
        remind(alice, task_id, before_due=60)
        without_deadline = create_task(alice)
        remind(alice, without_deadline, before_due=60)

        assert fire_reminders() == 0
        assert tasks_with_event(events.TASK_REMINDER) == []

    def test_a_reminder_whose_time_has_passed_fires_late(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LONG_AGO)
        remind(alice, task_id, before_due=3600)

        assert fire_reminders() == 1
        assert tasks_with_event(events.TASK_REMINDER) == [task_id]

    def test_each_reminder_of_a_task_fires(self, alice: Actor) -> None:
        task_id = create_task(alice)
        remind(alice, task_id, LATELY)
        remind(alice, task_id, LONG_AGO)

        assert fire_reminders() == 2
        assert tasks_with_event(events.TASK_REMINDER) == [task_id, task_id]

    def test_a_reminder_of_a_done_task_never_fires(self, alice: Actor) -> None:
        task_id = create_task(alice, status="done")
        remind(alice, task_id, LATELY)

        fire_reminders()
        tasks.update_task(alice, task_id, {"status": "todo"})
        fire_reminders()

        assert tasks_with_event(events.TASK_REMINDER) == []

    def test_a_deleted_reminder_does_not_fire(self, alice: Actor) -> None:
        task_id = create_task(alice)
        reminders.delete_reminder(alice, task_id, remind(alice, task_id, LATELY))

        assert fire_reminders() == 0

    def test_parallel_runs_record_each_event_once(self, alice: Actor) -> None:
        ids = [create_task(alice) for _ in range(40)]
        for task_id in ids:
            remind(alice, task_id, LATELY)

        assert sum(in_parallel(lambda _: fire_reminders(), 8)) == 40
        assert sorted(tasks_with_event(events.TASK_REMINDER)) == ids

    def test_more_than_one_batch_is_processed(self, alice: Actor) -> None:
        task_id = create_task(alice)
        with unit_of_work():
            execute(
                "INSERT INTO reminders (task_id, user_id, remind_at, fires_at)"
                " SELECT %s, %s, now(), now() FROM generate_series(1, %s)",
                (task_id, alice.user_id, MORE_THAN_A_BATCH),
            )

        assert fire_reminders() == MORE_THAN_A_BATCH
        assert len(tasks_with_event(events.TASK_REMINDER)) == MORE_THAN_A_BATCH

    def test_a_reminder_of_an_interrupted_run_is_fired_by_the_next_run(self, alice: Actor) -> None:
        task_id = create_task(alice)
        remind(alice, task_id, LATELY)

        def die_before_the_commit() -> None:
            with unit_of_work():
                assert fire_reminders() == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            die_before_the_commit()

        assert fire_reminders() == 1
        assert tasks_with_event(events.TASK_REMINDER) == [task_id]


class TestMovingDeadlines:
    @pytest.fixture
    def fired(self, alice: Actor) -> int:
        """A task whose reminder, an hour before the deadline, has fired."""
        task_id = create_task(alice, due_at=LATELY)
        remind(alice, task_id, before_due=3600)
        assert fire_reminders() == 1
        return task_id

    def test_a_later_deadline_sets_the_reminder_again(self, fired: int, alice: Actor) -> None:
        tasks.update_task(alice, fired, {"due_at": SOON})

        moved = only_reminder(alice, fired)
        assert datetime.fromisoformat(moved["fires_at"]) == SOON - timedelta(hours=1)
        assert moved["fired_at"] is None
        assert fire_reminders() == 0

        move_times(fired, fires_at=LATELY)
        assert fire_reminders() == 1
        assert tasks_with_event(events.TASK_REMINDER) == [fired, fired]

    @pytest.mark.parametrize("deadline", [LONG_AGO, NOW + timedelta(minutes=30), None])
    def test_a_deadline_that_keeps_the_reminder_in_the_past_does_not_set_it_again(
        self, deadline: datetime | None, fired: int, alice: Actor
    ) -> None:
        before = only_reminder(alice, fired)["fired_at"]

        tasks.update_task(alice, fired, {"due_at": deadline})

        assert only_reminder(alice, fired)["fired_at"] == before
        assert fire_reminders() == 0

    def test_removing_and_adding_a_deadline_sets_the_reminder_again(self, fired: int, alice: Actor) -> None:
        tasks.update_task(alice, fired, {"due_at": None})
        assert only_reminder(alice, fired)["fires_at"] is None
        tasks.update_task(alice, fired, {"due_at": SOON})

        assert only_reminder(alice, fired)["fired_at"] is None

    def test_an_earlier_deadline_makes_a_waiting_reminder_fire(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        remind(alice, task_id, before_due=3600)
        tasks.update_task(alice, task_id, {"due_at": NOW + timedelta(minutes=30)})

        assert fire_reminders() == 1

    def test_other_tasks_and_fixed_times_do_not_change(self, alice: Actor) -> None:
        moved, other = (create_task(alice, due_at=SOON) for _ in range(2))
        remind(alice, moved, SOON)
        remind(alice, other, before_due=3600)
        before = [only_reminder(alice, task_id) for task_id in (moved, other)]

        tasks.update_task(alice, moved, {"due_at": SOON + timedelta(days=1)})

        assert [only_reminder(alice, task_id) for task_id in (moved, other)] == before

    def test_firing_does_not_wait_for_a_running_change_of_a_task(self, alice: Actor) -> None:
        task_id, other = create_task(alice, due_at=LATELY), create_task(alice)
        remind(alice, task_id, before_due=60)
        remind(alice, other, LATELY)

        with unit_of_work():
            tasks.update_task(alice, task_id, {"title": "about to be moved"})
            # Firing reminders neither waits for this transaction nor holds a lock that the next change needs.
            assert in_parallel(lambda _: fire_reminders(), 1) == [1]
            tasks.update_task(alice, task_id, {"due_at": SOON})

        assert tasks_with_event(events.TASK_REMINDER) == [other]
        assert fire_reminders() == 0

    def test_no_reminder_is_lost_when_deadlines_change_while_reminders_fire(self, alice: Actor) -> None:
        ids = [create_task(alice, due_at=LATELY) for _ in range(20)]
        for task_id in ids:
            remind(alice, task_id, before_due=60)

        def move(task_id: int) -> None:
            tasks.update_task(alice, task_id, {"due_at": LONG_AGO})

        with ThreadPoolExecutor(4) as pool:
            moving = [pool.submit(disconnecting(move), task_id) for task_id in ids]
            in_parallel(lambda _: fire_reminders(), 4)
            for move_made in moving:
                move_made.result()
        fire_reminders()

        assert sorted(tasks_with_event(events.TASK_REMINDER)) == ids


class TestMissedDeadlines:
    def test_one_event_is_sent_to_owner_and_assignee(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY, assignee_id=bob.user_id)
        create_task(alice, due_at=SOON)
        create_task(alice)

        assert [notify_overdue(), notify_overdue()] == [1, 0]

        recorded = execute("SELECT task_id, actor_id, audience, data FROM events WHERE type = 'task.overdue'")
        task = read_task(alice, task_id)
        assert recorded.fetchall() == [(task_id, None, [alice.user_id, bob.user_id], task)]
        assert task["version"] == 1

    def test_an_event_is_recorded_when_the_deadline_passes(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=SOON)
        assert notify_overdue() == 0

        move_times(task_id, due_at=LATELY)

        assert notify_overdue() == 1

    def test_a_done_task_is_overdue_only_after_it_is_reopened(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY, status="done")
        assert notify_overdue() == 0

        tasks.update_task(alice, task_id, {"status": "todo"})

        assert notify_overdue() == 1

    def test_another_event_is_recorded_when_the_task_is_done_and_reopened(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, {"status": "done"})
        assert notify_overdue() == 0
        tasks.update_task(alice, task_id, {"status": "in_progress"})

        assert [notify_overdue(), notify_overdue()] == [1, 0]

    def test_another_event_is_recorded_when_another_deadline_is_missed(self, alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, {"due_at": SOON})
        assert notify_overdue() == 0
        move_times(task_id, due_at=LONG_AGO)

        assert [notify_overdue(), notify_overdue()] == [1, 0]
        assert tasks_with_event(events.TASK_OVERDUE) == [task_id, task_id]

    @pytest.mark.parametrize("changes", [{"status": "in_progress"}, {"title": "late"}, {"due_at": LATELY}])
    def test_other_changes_record_no_further_event(self, changes: dict[str, Any], alice: Actor) -> None:
        task_id = create_task(alice, due_at=LATELY)
        notify_overdue()

        tasks.update_task(alice, task_id, changes)

        assert notify_overdue() == 0

    def test_parallel_runs_record_each_event_once(self, alice: Actor) -> None:
        ids = [create_task(alice, due_at=LATELY) for _ in range(40)]

        assert sum(in_parallel(lambda _: notify_overdue(), 8)) == 40
        assert sorted(tasks_with_event(events.TASK_OVERDUE)) == ids

    def test_more_than_one_batch_is_processed(self, alice: Actor) -> None:
        with unit_of_work():
            execute(
                "INSERT INTO tasks (title, user_id, due_at) SELECT 'late', %s, now() FROM generate_series(1, %s)",
                (alice.user_id, MORE_THAN_A_BATCH),
            )

        assert notify_overdue() == MORE_THAN_A_BATCH
        assert len(set(tasks_with_event(events.TASK_OVERDUE))) == MORE_THAN_A_BATCH
