"""Who is notified of what: once, in their language, and not of their own actions."""

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
from tests.builders import QUOTA, create_actor, create_group, create_task
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


def notifications_of(actor: Actor, *, unread: bool = False) -> list[tuple[str, int | None]]:
    """Return the kind and the actor of each notification of a user, oldest first."""
    page = notifications.list_notifications(actor, unread, 0, 100)
    return [(item["kind"], item["actor_id"]) for item in reversed(orjson.loads(page.items))]


def make_due(table: str, column: str, task_id: int) -> None:
    key = "id" if table == "tasks" else "task_id"
    with unit_of_work():
        execute(f"UPDATE {table} SET {column} = now() - interval '1 hour' WHERE {key} = %s", (task_id,))


@pytest.fixture
def group(ada: Actor, alice: Actor, bob: Actor) -> int:
    """A group with the members Alice and Bob."""
    group_id = create_group(ada)
    for member in (alice, bob):
        groups.put_member(ada, group_id, member.user_id, is_manager=False)
    groups.remove_member(ada, group_id, ada.user_id)
    return group_id


class TestRecipients:
    def test_an_assignment_notifies_the_assignee(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        tasks.update_task(alice, task_id, {"title": "x"})
        assert notifications_of(bob) == [("assigned", alice.user_id)]

        tasks.update_task(alice, task_id, {"assignee_id": mallory.user_id})
        assert notifications_of(mallory) == [("assigned", alice.user_id)]

        tasks.update_task(alice, task_id, {"assignee_id": None})
        assert len(notifications_of(bob)) == len(notifications_of(mallory)) == 1
        assert notifications_of(alice) == []

    def test_a_task_for_a_group_notifies_its_members(
        self, alice: Actor, bob: Actor, mallory: Actor, group: int
    ) -> None:
        create_task(alice, group_id=group)

        assert (notifications_of(bob), notifications_of(alice), notifications_of(mallory)) == (
            [("assigned", alice.user_id)],
            [],
            [],
        )

    def test_assigning_a_task_to_oneself_notifies_no_one(self, alice: Actor) -> None:
        create_task(alice, assignee_id=alice.user_id)

        assert notifications_of(alice) == []

    def test_a_delegation_notifies_the_new_assignee(self, alice: Actor, bob: Actor, mallory: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        delegation.delegate_task(bob, task_id, mallory.user_id, "You know the roof.")

        assert notifications_of(mallory) == [("delegated", bob.user_id)]
        (details,) = execute("SELECT details FROM notifications WHERE kind = 'delegated'").fetchone()
        assert (details["said"], details["actor"], details["title"]) == (
            "You know the roof.",
            "Bob",
            "Clean the gutters",
        )

    def test_a_comment_notifies_owner_and_assignee(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(bob, task_id, "Done soon.", QUOTA)
        comments.create_comment(ada, task_id, "Good.", QUOTA)

        assert notifications_of(alice) == [("commented", bob.user_id), ("commented", ada.user_id)]
        assert notifications_of(bob) == [("assigned", alice.user_id), ("commented", ada.user_id)]
        assert notifications_of(ada) == []

    def test_a_comment_notifies_group_members_who_have_commented(
        self, alice: Actor, bob: Actor, mallory: Actor, group: int
    ) -> None:
        task_id = create_task(alice, group_id=group, assignee_id=alice.user_id)
        comments.create_comment(alice, task_id, "Who helps?", QUOTA)
        before_commenting = notifications_of(bob)
        comments.create_comment(bob, task_id, "I do.", QUOTA)
        comments.create_comment(alice, task_id, "Thanks.", QUOTA)

        assert before_commenting == []
        assert notifications_of(bob) == [("commented", alice.user_id)]
        assert notifications_of(mallory) == []

    def test_reminders_and_missed_deadlines_notify_owner_and_assignee(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        reminders.create_reminder(alice, task_id, None, 60)
        make_due("reminders", "fires_at", task_id)
        make_due("tasks", "due_at", task_id)
        reminders.fire_reminders()
        reminders.notify_overdue()
        reminders.fire_reminders()
        reminders.notify_overdue()

        assert notifications_of(alice) == [("reminder", None), ("overdue", None)]
        assert notifications_of(bob) == [("assigned", alice.user_id), ("reminder", None), ("overdue", None)]

    def test_a_missed_deadline_of_an_unassigned_group_task_notifies_the_group(
        self, alice: Actor, bob: Actor, group: int
    ) -> None:
        task_id = create_task(alice, group_id=group)
        make_due("tasks", "due_at", task_id)
        reminders.notify_overdue()

        assert notifications_of(bob) == [("assigned", alice.user_id), ("overdue", None)]
        assert notifications_of(alice) == [("overdue", None)]

    def test_disabled_accounts_are_not_notified(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)
        with unit_of_work():
            execute("UPDATE users SET is_active = false WHERE id = %s", (bob.user_id,))
        comments.create_comment(alice, task_id, "x", QUOTA)

        assert notifications_of(bob) == [("assigned", alice.user_id)]


class TestEvents:
    def test_each_notification_is_an_event_for_its_recipient_only(self, alice: Actor, bob: Actor) -> None:
        create_task(alice, title="Braces { } and {actor}", assignee_id=bob.user_id)

        (audience, actor_id, data) = execute(
            "SELECT audience, actor_id, data FROM events WHERE type = 'notification.created'"
        ).fetchone()
        assert (audience, actor_id) == ([bob.user_id], alice.user_id)
        assert data["text"] == "Alice gave you the task “Braces { } and {actor}”."
        assert data["by_mail"] is True

    def test_a_mail_job_is_sent_only_for_wanted_kinds(self, alice: Actor, bob: Actor, redis: Any) -> None:
        sent: list[JobRequest] = []
        notifications.change_mail_preferences(bob.user_id, {"commented": False})
        task_id = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(alice, task_id, "x", QUOTA)

        publication.publish(redis, 1000, sent.append)

        assert [job.name for job in sent] == [jobs.MAIL_SEND.name]
        waiting = execute("SELECT kind FROM notifications WHERE mail_status = 'pending'").fetchall()
        assert waiting == [("assigned",)]

    @pytest.mark.parametrize("missing", ["email", "email_verified_at"])
    def test_an_account_without_a_verified_email_gets_no_mail(self, missing: str, alice: Actor, bob: Actor) -> None:
        with unit_of_work():
            execute(f"UPDATE users SET {missing} = NULL WHERE id = %s", (bob.user_id,))
        create_task(alice, assignee_id=bob.user_id)

        assert notifications_of(bob) == [("assigned", alice.user_id)]

        assert execute("SELECT mail_status FROM notifications").fetchall() == [(None,)]

    @pytest.mark.parametrize("who", ["all", "recipient", "sender"])
    def test_after_a_refused_mail_no_further_one_is_requested_in_that_hour(
        self, who: str, alice: Actor, bob: Actor, mallory: Actor
    ) -> None:
        subject = {"all": "all", "recipient": f"recipient {bob.user_id}", "sender": f"sender {alice.user_id}"}[who]
        with unit_of_work():
            execute("INSERT INTO mail_counts VALUES (%s, date_trunc('hour', now()), 30, 1)", (subject,))
        create_task(alice, assignee_id=bob.user_id)
        create_task(alice, assignee_id=mallory.user_id)
        create_task(mallory, assignee_id=bob.user_id)

        requested = execute("SELECT mail_status FROM notifications ORDER BY id").fetchall()
        expected = {"all": [None] * 3, "recipient": [None, "pending", None], "sender": [None, None, "pending"]}
        assert [status for (status,) in requested] == expected[who]
        with unit_of_work():
            execute("UPDATE mail_counts SET period_start = period_start - interval '1 hour'")
        create_task(alice, assignee_id=bob.user_id)
        assert execute("SELECT mail_status FROM notifications ORDER BY id DESC").fetchone() == ("pending",)

    def test_a_rolled_back_change_notifies_no_one(self, alice: Actor, bob: Actor) -> None:
        def fail_after_assigning() -> None:
            with unit_of_work():
                create_task(alice, assignee_id=bob.user_id)
                raise LookupError

        pytest.raises(LookupError, fail_after_assigning)

        assert notifications_of(bob) == []


class TestReading:
    def test_one_notification_or_all_can_be_marked_as_read(self, alice: Actor, bob: Actor) -> None:
        for _ in range(3):
            create_task(alice, assignee_id=bob.user_id)
        (first,) = execute("SELECT min(id) FROM notifications").fetchone()

        notifications.mark_read(bob, first)
        assert (
            notifications.count_unread(bob),
            len(notifications_of(bob, unread=True)),
            len(notifications_of(bob)),
        ) == (2, 2, 3)
        notifications.mark_all_read(bob)
        assert (notifications.count_unread(bob), len(notifications_of(bob))) == (0, 3)

    def test_notifications_of_others_cannot_be_read_or_marked(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        create_task(alice, assignee_id=bob.user_id)
        (first,) = execute("SELECT id FROM notifications").fetchone()

        with pytest.raises(NotFound):
            notifications.mark_read(ada, first)
        notifications.mark_all_read(ada)
        assert (notifications_of(ada), notifications.count_unread(bob)) == ([], 1)

    def test_notifications_are_deleted_with_the_task_but_not_with_the_actor(self, alice: Actor, bob: Actor) -> None:
        carol = create_actor("carol")
        own = create_task(alice, assignee_id=bob.user_id)
        comments.create_comment(bob, own, "x", QUOTA)
        with unit_of_work():
            execute("DELETE FROM users WHERE id = %s", (carol.user_id,))
            execute("UPDATE tasks SET assignee_id = NULL")
            execute("DELETE FROM users WHERE id = %s", (bob.user_id,))
        assert notifications_of(alice) == [("commented", None)]

        tasks.delete_task(alice, own)
        assert notifications_of(alice) == []


def test_the_database_allows_exactly_the_kinds_of_the_code() -> None:
    """A new kind in the code needs a migration of this constraint."""
    (check,) = execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'notifications_kind_check'"
    ).fetchone()

    assert sorted(re.findall(r"'(\w+)'", check)) == sorted(KINDS)


def test_preferences_are_stored_for_each_kind(alice: Actor) -> None:
    assert notifications.mail_preferences(alice.user_id) == dict.fromkeys(KINDS, True)

    notifications.change_mail_preferences(alice.user_id, {"overdue": False, "reminder": False})
    notifications.change_mail_preferences(alice.user_id, {"reminder": True})

    assert notifications.mail_preferences(alice.user_id) == dict.fromkeys(KINDS, True) | {"overdue": False}
