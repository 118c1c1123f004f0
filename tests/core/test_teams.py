"""Where changes of a team meet, and what an account that goes leaves behind."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from core import db, events
from core.db import unit_of_work
from core.errors import Forbidden, Invalid, NotFound
from core.policy import Actor
from core.services import activity, administration, comments, delegation, groups, reminders, tasks
from core.services.reminders import fire_reminders
from tests.conftest import enlist
from tests.polling import wait_until
from tests.sql import execute


def create(actor: Actor, **fields: Any) -> int:
    return tasks.create_task(actor, {"title": "a task"} | fields).id


def read(actor: Actor, task_id: int) -> dict[str, Any]:
    task: dict[str, Any] = orjson.loads(tasks.read_task(actor, task_id).json)
    return task


@pytest.fixture
def meanwhile(database: None) -> Iterator[Callable[..., Future[Any]]]:
    """Begins a call in another thread, and lets this one go on when that one waits for a lock."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            db.disconnect()

    def begin(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        begun = pool.submit(call, function, *args, **kwargs)
        wait_until(lambda: execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()[0])
        return begun

    with ThreadPoolExecutor(1) as pool:
        yield begin


class TestMeetings:
    def test_a_task_is_not_given_to_a_group_that_is_being_deleted(
        self, ada: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        group_id = groups.create_group(ada, "Roofers").id
        task_id = create(ada)

        with unit_of_work():
            groups.delete_group(ada, group_id)
            given = meanwhile(tasks.update_task, ada, task_id, {"group_id": group_id})

        with pytest.raises(Invalid):
            given.result()
        assert read(ada, task_id)["version"] == 1

    def test_a_group_that_is_deleted_lets_go_of_what_is_being_given_to_it(
        self, ada: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        group_id = groups.create_group(ada, "Roofers").id
        task_id = create(ada)

        with unit_of_work():
            tasks.update_task(ada, task_id, {"group_id": group_id})
            deleted = meanwhile(groups.delete_group, ada, group_id)
        deleted.result()

        assert (read(ada, task_id)["group_id"], read(ada, task_id)["version"]) == (None, 3)

    def test_nobody_joins_a_group_that_is_being_deleted(
        self, ada: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        group_id = groups.create_group(ada, "Roofers").id

        with unit_of_work():
            groups.delete_group(ada, group_id)
            joined = meanwhile(groups.put_member, ada, group_id, bob.user_id, is_manager=False)

        with pytest.raises(NotFound):
            joined.result()

    def test_who_is_just_taken_out_of_a_group_manages_it_no_more(
        self, ada: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        group_id = groups.create_group(ada, "Roofers").id
        groups.put_member(ada, group_id, bob.user_id, is_manager=True)

        with unit_of_work():
            groups.remove_member(ada, group_id, bob.user_id)
            renamed = meanwhile(groups.rename_group, bob, group_id, "Bob's")

        with pytest.raises(NotFound):
            renamed.result()

    def test_nobody_comments_on_what_is_being_deleted(
        self, alice: Actor, ada: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        task_id = create(alice)

        with unit_of_work():
            tasks.delete_task(alice, task_id)
            said = meanwhile(comments.create_comment, ada, task_id, "Wait!")

        with pytest.raises(NotFound):
            said.result()

    def test_nobody_comments_on_what_is_being_taken_from_them(
        self, alice: Actor, bob: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        task_id = create(alice, assignee_id=bob.user_id)

        with unit_of_work():
            tasks.update_task(alice, task_id, {"assignee_id": None})
            said = meanwhile(comments.create_comment, bob, task_id, "Mine!")

        with pytest.raises(Forbidden):
            said.result()

    def test_a_comment_that_is_being_deleted_is_not_changed(
        self, alice: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        task_id = create(alice)
        comment_id = comments.create_comment(alice, task_id, "Hello").id

        with unit_of_work():
            comments.delete_comment(alice, task_id, comment_id)
            changed = meanwhile(comments.change_comment, alice, task_id, comment_id, "Hi")

        with pytest.raises(NotFound):
            changed.result()

    @pytest.mark.parametrize("how", ["assigned", "delegated", "joined"])
    def test_nothing_is_given_to_an_account_that_is_being_deleted(
        self, how: str, alice: Actor, bob: Actor, ada: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        task_id = create(alice)
        group_id = groups.create_group(ada, "Roofers").id

        with unit_of_work():
            administration.delete_account(ada, bob.user_id)
            if how == "assigned":
                given = meanwhile(tasks.update_task, alice, task_id, {"assignee_id": bob.user_id})
            elif how == "delegated":
                given = meanwhile(delegation.delegate_task, alice, task_id, bob.user_id, None)
            else:
                given = meanwhile(groups.put_member, ada, group_id, bob.user_id, is_manager=False)

        with pytest.raises(Invalid):
            given.result()
        assert read(alice, task_id)["version"] == 1

    def test_passing_on_and_taking_away_at_once_keep_the_trail_true(
        self, alice: Actor, bob: Actor, ada: Actor, meanwhile: Callable[..., Future[Any]]
    ) -> None:
        task_id = create(alice, assignee_id=bob.user_id)

        with unit_of_work():
            tasks.update_task(alice, task_id, {"assignee_id": None})
            passed_on = meanwhile(delegation.delegate_task, ada, task_id, ada.user_id, None)
        passed_on.result()

        (step,) = orjson.loads(delegation.list_delegations(alice, task_id).items)
        assert (step["from_id"], step["to_id"]) == (None, ada.user_id)


class TestAccountsThatGo:
    @pytest.fixture
    def task(self, alice: Actor, bob: Actor, ada: Actor) -> int:
        """Alice's task in a group that Bob manages, which he passed on and got back, spoke about and is reminded of."""
        group_id = groups.create_group(ada, "Roofers").id
        groups.put_member(ada, group_id, bob.user_id, is_manager=True)
        groups.put_member(ada, group_id, alice.user_id, is_manager=False)
        task_id = create(alice, assignee_id=bob.user_id, group_id=group_id)
        delegation.delegate_task(bob, task_id, ada.user_id, "You do it.")
        delegation.delegate_task(ada, task_id, bob.user_id, "No, you.")
        comments.create_comment(bob, task_id, "Well.")
        reminders.create_reminder(bob, task_id, None, 60)
        return task_id

    def test_what_they_did_stays_and_names_nobody(self, task: int, alice: Actor, bob: Actor, ada: Actor) -> None:
        before = read(alice, task)
        trail = orjson.loads(delegation.list_delegations(alice, task).items)

        administration.delete_account(ada, bob.user_id)

        after = read(alice, task)
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

    def test_the_history_tells_who_lost_the_task_and_listeners_hear_it(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        administration.delete_account(ada, bob.user_id)

        newest = orjson.loads(activity.read_activity(alice, task, 0, 1).items)[0]
        assert (newest["type"], newest["actor_id"]) == (events.TASK_UPDATED, ada.user_id)
        assert newest["changes"] == {"assignee_id": {"from": bob.user_id, "to": None}}
        recorded = execute("SELECT type, data FROM events ORDER BY id DESC LIMIT 1").fetchone()
        assert recorded == (events.TASK_UPDATED, read(alice, task))

    def test_their_reminders_still_remind_the_others(self, task: int, alice: Actor, bob: Actor, ada: Actor) -> None:
        administration.delete_account(ada, bob.user_id)
        with unit_of_work():
            execute("UPDATE reminders SET fires_at = now() WHERE task_id = %s", (task,))

        assert fire_reminders() == 1
        (reminder,) = orjson.loads(reminders.list_reminders(alice, task).items)
        assert reminder["user_id"] is None

    def test_only_its_owner_and_admins_delete_a_comment_of_nobody(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        comment = orjson.loads(comments.list_comments(alice, task, 0, 1).items)[0]
        eve = enlist("eve")
        groups.put_member(ada, read(alice, task)["group_id"], eve.user_id, is_manager=True)
        administration.delete_account(ada, bob.user_id)

        for actor in (alice, ada, eve):
            with pytest.raises(Forbidden):
                comments.change_comment(actor, task, comment["id"], "Mine")
        with pytest.raises(Forbidden):
            comments.delete_comment(eve, task, comment["id"])
        comments.delete_comment(alice, task, comment["id"])

    def test_an_owner_takes_their_tasks_along_with_all_about_them(
        self, task: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        kept = create(bob, title="Bob's own")

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
        assert read(bob, kept)["version"] == 1

    def test_a_group_outlives_all_of_its_members(self, alice: Actor, bob: Actor, ada: Actor) -> None:
        group_id = groups.create_group(ada, "Roofers").id
        groups.remove_member(ada, group_id, ada.user_id)
        groups.put_member(ada, group_id, bob.user_id, is_manager=True)
        task_id = create(ada)
        tasks.update_task(ada, task_id, {"group_id": group_id})

        administration.delete_account(ada, bob.user_id)

        assert orjson.loads(groups.read_group(ada, group_id).json)["members"] == []
        assert read(ada, task_id)["group_id"] == group_id
