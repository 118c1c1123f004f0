"""Who is told of what, once, in their language, and never of what they did themselves."""

import re
from typing import Any

import orjson
import pytest

from core import jobs
from core.db import unit_of_work
from core.errors import NotFound
from core.jobs import JobRequest
from core.policy import Actor
from core.services import comments, delegation, groups, notifications, publication, reminders, tasks
from core.services.notifications import KINDS
from tests.builders import create_actor, create_group, create_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


def told(actor: Actor, *, unread: bool = False) -> list[tuple[str, int | None]]:
    """What somebody is told, and by whom, the oldest first."""
    page = notifications.list_notifications(actor, unread, 0, 100)
    return [(item["kind"], item["actor_id"]) for item in reversed(orjson.loads(page.items))]


def make_due(table: str, column: str, task_id: int) -> None:
    key = "id" if table == "tasks" else "task_id"
    with unit_of_work():
        execute(f"UPDATE {table} SET {column} = now() - interval '1 hour' WHERE {key} = %s", (task_id,))


@pytest.fixture
def group(ada: Actor, alice: Actor, bob: Actor) -> int:
    """Alice and Bob."""
    group_id = create_group(ada)
    for member in (alice, bob):
        groups.put_member(ada, group_id, member.user_id, is_manager=False)
    groups.remove_member(ada, group_id, ada.user_id)
    return group_id


class TestWhoIsTold:
    def test_of_an_assignment_who_got_the_task(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        tasks.update_task(alice, task_id, {"title": "x"})
        tasks.update_task(alice, task_id, {"assignee_id": mallory.user_id})
        tasks.update_task(alice, task_id, {"assignee_id": None})

        assert told(bob) == [("assigned", alice.user_id)]
        assert told(mallory) == [("assigned", alice.user_id)]
        assert told(alice) == []

    def test_of_a_task_for_a_group_its_members(self, alice: Actor, bob: Actor, mallory: Actor, group: int) -> None:
        create_task(alice, group_id=group)

        assert (told(bob), told(alice), told(mallory)) == ([("assigned", alice.user_id)], [], [])

    def test_nobody_of_what_they_give_themselves(self, alice: Actor) -> None:
        create_task(alice, assignee_id=alice.user_id)

        assert told(alice) == []

    def test_of_a_delegation_who_got_the_task(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        delegation.delegate_task(bob, task_id, mallory.user_id, "You know the roof.")

        assert told(mallory) == [("delegated", bob.user_id)]
        (details,) = execute("SELECT details FROM notifications WHERE kind = 'delegated'").fetchone()
        assert (details["said"], details["actor"], details["title"]) == (
            "You know the roof.",
            "Bob",
            "Clean the gutters",
        )

    def test_of_a_comment_those_who_have_the_task(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(bob, task_id, "Done soon.")
        comments.create_comment(ada, task_id, "Good.")

        assert told(alice) == [("commented", bob.user_id), ("commented", ada.user_id)]
        assert told(bob) == [("assigned", alice.user_id), ("commented", ada.user_id)]
        assert told(ada) == []

    def test_of_a_comment_those_of_the_group_who_have_commented(
        self, alice: Actor, bob: Actor, mallory: Actor, group: int
    ) -> None:
        task_id = create_task(alice, group_id=group, assignee_id=alice.user_id)
        comments.create_comment(alice, task_id, "Who helps?")
        silent = told(bob)
        comments.create_comment(bob, task_id, "I do.")
        comments.create_comment(alice, task_id, "Thanks.")

        assert silent == []
        assert told(bob) == [("commented", alice.user_id)]
        assert told(mallory) == []

    def test_of_a_reminder_and_a_missed_deadline_those_who_have_the_task(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        reminders.create_reminder(alice, task_id, None, 60)
        make_due("reminders", "fires_at", task_id)
        make_due("tasks", "due_at", task_id)
        reminders.fire_reminders()
        reminders.notify_overdue()
        reminders.fire_reminders()
        reminders.notify_overdue()

        assert told(alice) == [("reminder", None), ("overdue", None)]
        assert told(bob) == [("assigned", alice.user_id), ("reminder", None), ("overdue", None)]

    def test_of_a_task_of_nobody_in_particular_the_whole_group(self, alice: Actor, bob: Actor, group: int) -> None:
        task_id = create_task(alice, group_id=group)
        make_due("tasks", "due_at", task_id)
        reminders.notify_overdue()

        assert told(bob) == [("assigned", alice.user_id), ("overdue", None)]
        assert told(alice) == [("overdue", None)]

    def test_nobody_whose_account_is_disabled(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        with unit_of_work():
            execute("UPDATE users SET is_active = false WHERE id = %s", (bob.user_id,))
        comments.create_comment(alice, task_id, "x")

        assert told(bob) == [("assigned", alice.user_id)]


class TestEvents:
    def test_each_is_an_event_for_its_reader_alone_in_their_language(self, alice: Actor, bob: Actor) -> None:
        create_task(alice, title="Braces { } and {actor}", assignee_id=bob.user_id)

        (audience, actor_id, data) = execute(
            "SELECT audience, actor_id, data FROM events WHERE type = 'notification.created'"
        ).fetchone()
        assert (audience, actor_id) == ([bob.user_id], alice.user_id)
        assert data["text"] == "Alice gave you the task “Braces { } and {actor}”."
        assert data["by_mail"] is True

    def test_who_wants_it_by_mail_gets_a_job(self, alice: Actor, bob: Actor, redis: Any) -> None:
        sent: list[JobRequest] = []
        notifications.change_mail_preferences(bob.user_id, {"commented": False})
        task_id = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(alice, task_id, "x")

        publication.publish(redis, 1000, sent.append)

        (assigned_id,) = execute("SELECT id FROM notifications WHERE kind = 'assigned'").fetchone()
        assert [(job.name, job.arguments) for job in sent] == [(jobs.MAIL_SEND.name, (assigned_id,))]

    def test_who_has_no_email_gets_no_mail(self, alice: Actor, bob: Actor) -> None:
        with unit_of_work():
            execute("UPDATE users SET email = NULL WHERE id = %s", (bob.user_id,))
        create_task(alice, assignee_id=bob.user_id)

        assert execute("SELECT mail_status FROM notifications").fetchall() == [(None,)]

    def test_nobody_fills_a_mailbox(self, alice: Actor, bob: Actor) -> None:
        for _ in range(35):
            create_task(alice, assignee_id=bob.user_id)

        mailed = "SELECT count(*), count(mail_status) FROM notifications"
        assert execute(mailed).fetchone() == (35, 30)
        with unit_of_work():
            execute("UPDATE notifications SET created_at = created_at - interval '1 hour'")
        create_task(alice, assignee_id=bob.user_id)
        assert execute(mailed).fetchone() == (36, 31)

    def test_what_is_undone_tells_nobody(self, alice: Actor, bob: Actor) -> None:
        def fail_after_assigning() -> None:
            with unit_of_work():
                create_task(alice, assignee_id=bob.user_id)
                raise LookupError

        pytest.raises(LookupError, fail_after_assigning)

        assert told(bob) == []


class TestReading:
    def test_one_and_all_are_marked(self, alice: Actor, bob: Actor) -> None:
        for _ in range(3):
            create_task(alice, assignee_id=bob.user_id)
        (first,) = execute("SELECT min(id) FROM notifications").fetchone()

        notifications.mark_read(bob, first)
        assert (notifications.count_unread(bob), len(told(bob, unread=True)), len(told(bob))) == (2, 2, 3)
        notifications.mark_all_read(bob)
        assert (notifications.count_unread(bob), len(told(bob))) == (0, 3)

    def test_nobody_reads_or_marks_those_of_others(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        create_task(alice, assignee_id=bob.user_id)
        (first,) = execute("SELECT id FROM notifications").fetchone()

        with pytest.raises(NotFound):
            notifications.mark_read(ada, first)
        notifications.mark_all_read(ada)
        assert (told(ada), notifications.count_unread(bob)) == ([], 1)

    def test_they_go_with_their_task_and_outlive_who_caused_them(self, alice: Actor, bob: Actor) -> None:
        carol = create_actor("carol")
        own = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(bob, own, "x")
        with unit_of_work():
            execute("DELETE FROM users WHERE id = %s", (carol.user_id,))
            execute("UPDATE tasks SET assignee_id = NULL")
            execute("DELETE FROM users WHERE id = %s", (bob.user_id,))
        assert told(alice) == [("commented", None)]

        tasks.delete_task(alice, own)
        assert told(alice) == []


def test_the_database_takes_every_kind_and_no_other() -> None:
    """A kind that is new in the code needs a migration, which this names."""
    (check,) = execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'notifications_kind_check'"
    ).fetchone()

    assert sorted(re.findall(r"'(\w+)'", check)) == sorted(KINDS)


def test_preferences_are_kept_by_kind(alice: Actor) -> None:
    assert notifications.mail_preferences(alice.user_id) == dict.fromkeys(KINDS, True)

    notifications.change_mail_preferences(alice.user_id, {"overdue": False, "reminder": False})
    notifications.change_mail_preferences(alice.user_id, {"reminder": True})

    assert notifications.mail_preferences(alice.user_id) == dict.fromkeys(KINDS, True) | {"overdue": False}
