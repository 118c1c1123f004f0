"""What is kept when an account is deleted, and concurrent changes during the deletion."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import orjson
import pytest

from core import events
from core.db import unit_of_work
from core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from core.policy import Actor, Role
from core.services import activity, administration, comments, delegation, groups, reminders, tasks
from core.services.reminders import fire_reminders
from tests.builders import QUOTA, create_actor, create_group, create_task, read_task
from tests.sql import execute


@pytest.mark.parametrize("how", ["assigned", "delegated", "joined"])
def test_no_task_or_group_is_given_to_an_account_during_its_deletion(
    how: str, alice: Actor, bob: Actor, ada: Actor, start_blocked: Callable[..., Future[Any]]
) -> None:
    task_id = create_task(alice)
    group_id = create_group(ada)

    with unit_of_work():
        administration.delete_account(ada, bob.user_id)
        if how == "assigned":
            given = start_blocked(tasks.update_task, alice, task_id, {"assignee_id": bob.user_id})
        elif how == "delegated":
            given = start_blocked(delegation.delegate_task, alice, task_id, bob.user_id, None)
        else:
            given = start_blocked(groups.put_member, ada, group_id, bob.user_id, is_manager=False)

    with pytest.raises(Invalid):
        given.result()
    assert read_task(alice, task_id)["version"] == 1


def test_a_former_admin_changes_no_account_while_a_process_does_not_know_it_yet(
    alice: Actor, bob: Actor, ada: Actor
) -> None:
    former = create_actor("dora", Role.ADMIN)
    administration.change_account(ada, former.user_id, {"role": Role.USER})

    for attempt in (
        lambda: administration.change_account(former, bob.user_id, {"role": Role.ADMIN}),
        lambda: administration.delete_account(former, alice.user_id),
    ):
        with pytest.raises(Unauthenticated):
            attempt()

    assert execute("SELECT username FROM users WHERE role = 'admin'").fetchall() == [("ada",)]
    assert execute("SELECT count(*) FROM users").fetchone() == (4,)


class TestDeletedAccounts:
    @pytest.fixture
    def task(self, alice: Actor, bob: Actor, ada: Actor) -> int:
        """A task of Alice in a group that Bob manages. Bob delegated it, got it back, commented and set a reminder."""
        group_id = create_group(ada)
        groups.put_member(ada, group_id, bob.user_id, is_manager=True)
        groups.put_member(ada, group_id, alice.user_id, is_manager=False)
        task_id = create_task(alice, assignee_id=bob.user_id, group_id=group_id)
        delegation.delegate_task(bob, task_id, ada.user_id, "You do it.")
        delegation.delegate_task(ada, task_id, bob.user_id, "No, you.")
        comments.create_comment(bob, task_id, "Well.", QUOTA)
        reminders.create_reminder(bob, task_id, None, 60)
        return task_id

    def test_contributions_are_kept_without_the_user(self, task: int, alice: Actor, bob: Actor, ada: Actor) -> None:
        before = read_task(alice, task)
        trail = orjson.loads(delegation.list_delegations(alice, task).items)

        administration.delete_account(ada, bob.user_id)

        after = read_task(alice, task)
        assert after == before | {
            "assignee_id": None,
            "version": before["version"] + 1,
            "updated_at": after["updated_at"],
        }
        page = comments.list_comments(alice, task, 0, 10)
        assert [(comment["user_id"], comment["body"]) for comment in orjson.loads(page.items)] == [(None, "Well.")]
        names = {bob.user_id: None}
        assert orjson.loads(delegation.list_delegations(alice, task).items) == [
            step | {key: names.get(step[key], step[key]) for key in ("actor_id", "from_id", "to_id")} for step in trail
        ]
        members = orjson.loads(groups.read_group(alice, after["group_id"]).json)["members"]
        assert [member["user_id"] for member in members] == [ada.user_id, alice.user_id]

    def test_the_removed_assignee_is_in_the_history_and_in_an_event(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        administration.delete_account(ada, bob.user_id)

        newest = orjson.loads(activity.read_activity(alice, task, 0, 1).items)[0]
        assert (newest["type"], newest["actor_id"]) == (events.TASK_UPDATED, ada.user_id)
        assert newest["changes"] == {"assignee_id": {"from": bob.user_id, "to": None}}
        recorded = execute("SELECT type, data FROM events ORDER BY id DESC LIMIT 1").fetchone()
        assert recorded == (events.TASK_UPDATED, read_task(alice, task))

    def test_reminders_of_the_deleted_account_still_fire(self, task: int, alice: Actor, bob: Actor, ada: Actor) -> None:
        administration.delete_account(ada, bob.user_id)
        with unit_of_work():
            execute("UPDATE reminders SET fires_at = now() WHERE task_id = %s", (task,))

        assert fire_reminders() == 1
        (reminder,) = orjson.loads(reminders.list_reminders(alice, task).items)
        assert reminder["user_id"] is None

    def test_only_the_owner_and_admins_delete_a_comment_without_author(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        comment = orjson.loads(comments.list_comments(alice, task, 0, 1).items)[0]
        eve = create_actor("eve")
        groups.put_member(ada, read_task(alice, task)["group_id"], eve.user_id, is_manager=True)
        administration.delete_account(ada, bob.user_id)

        for actor in (alice, ada, eve):
            with pytest.raises(Forbidden):
                comments.change_comment(actor, task, comment["id"], "Mine")
        with pytest.raises(Forbidden):
            comments.delete_comment(eve, task, comment["id"])
        comments.delete_comment(alice, task, comment["id"])

    def test_tasks_of_the_deleted_account_are_deleted_with_their_data(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        kept = create_task(bob, title="Bob's own")

        administration.delete_account(ada, alice.user_id)

        with pytest.raises(NotFound):
            tasks.read_task(ada, task)
        for table in ("comments", "reminders", "delegations"):
            assert execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        recorded = execute("SELECT type, audience FROM events ORDER BY id DESC LIMIT 1").fetchone()
        assert (recorded[0], set(recorded[1])) == (
            events.TASK_DELETED,
            {alice.user_id, bob.user_id, ada.user_id},
        )
        assert read_task(bob, kept)["version"] == 1

    def test_a_group_is_kept_when_its_last_member_is_deleted(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        group_id = create_group(ada)
        groups.remove_member(ada, group_id, ada.user_id)
        groups.put_member(ada, group_id, bob.user_id, is_manager=True)
        task_id = create_task(ada)
        tasks.update_task(ada, task_id, {"group_id": group_id})

        administration.delete_account(ada, bob.user_id)

        assert orjson.loads(groups.read_group(ada, group_id).json)["members"] == []
        assert read_task(ada, task_id)["group_id"] == group_id
