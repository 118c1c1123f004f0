"""Tasks: permissions, the events of each change, and concurrent changes."""

import orjson
import pytest

from core.db import unit_of_work
from core.errors import Forbidden, Invalid, NotFound
from core.log_context import bound_to_log
from core.policy import Actor
from core.services import tasks
from tests.builders import QUOTA, create_task, read_task, update_task
from tests.recorded import recorded_events, recorded_types
from tests.sql import execute
from tests.threads import in_parallel


class TestPermission:
    @pytest.fixture
    def shared(self, alice: Actor, bob: Actor) -> int:
        return create_task(alice, assignee_id=bob.user_id)

    def test_owner_assignee_and_admin_read_and_work_on_a_task(
        self, shared: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        for version, actor in enumerate((alice, bob, ada), start=2):
            assert update_task(actor, shared, title=f"by {actor.user_id}")["version"] == version

    def test_a_stranger_cannot_read_change_or_delete_a_task(self, shared: int, mallory: Actor) -> None:
        for attempt in (
            lambda: tasks.read_task(mallory, shared),
            lambda: tasks.update_task(mallory, shared, {"title": "mine"}),
            lambda: tasks.delete_task(mallory, shared),
        ):
            with pytest.raises(Forbidden):
                attempt()

    def test_a_missing_task_is_not_found_for_every_user(self, mallory: Actor, ada: Actor) -> None:
        for actor in (mallory, ada):
            with pytest.raises(NotFound):
                tasks.read_task(actor, 10**9)
            with pytest.raises(NotFound):
                tasks.delete_task(actor, 10**9)

    def test_the_assignee_cannot_delete_or_reassign_a_task(self, shared: int, bob: Actor, mallory: Actor) -> None:
        with pytest.raises(Forbidden):
            tasks.delete_task(bob, shared)
        with pytest.raises(Forbidden):
            tasks.update_task(bob, shared, {"assignee_id": mallory.user_id})

    def test_an_admin_can_delete_a_task(self, shared: int, ada: Actor) -> None:
        assert orjson.loads(tasks.delete_task(ada, shared).json)["id"] == shared

    def test_a_former_assignee_cannot_read_the_task(self, shared: int, alice: Actor, bob: Actor) -> None:
        update_task(alice, shared, assignee_id=None)

        with pytest.raises(Forbidden):
            tasks.read_task(bob, shared)

    @pytest.mark.parametrize("active", [None, False])
    def test_a_task_is_only_assigned_to_an_active_account(self, active: bool | None, alice: Actor, bob: Actor) -> None:
        assignee = bob.user_id
        with unit_of_work():
            if active is None:
                execute("DELETE FROM users WHERE id = %s", (assignee,))
            else:
                execute("UPDATE users SET is_active = false WHERE id = %s", (assignee,))

        with pytest.raises(Invalid):
            create_task(alice, assignee_id=assignee)
        assert execute("SELECT count(*) FROM tasks").fetchone() == (0,)


class TestChanges:
    def test_every_change_records_an_event_with_the_changed_task(self, alice: Actor, bob: Actor) -> None:
        created = tasks.create_task(alice, {"title": "a task"}, QUOTA)
        task_id = created.id
        updated = tasks.update_task(alice, task_id, {"assignee_id": bob.user_id})
        renamed = tasks.update_task(bob, task_id, {"title": "renamed"})
        deleted = tasks.delete_task(alice, task_id)

        both = [alice.user_id, bob.user_id]
        assert recorded_events(task_id) == [
            ("task.created", alice.user_id, [alice.user_id], orjson.loads(created.json)),
            ("task.updated", alice.user_id, both, orjson.loads(updated.json)),
            ("task.assigned", alice.user_id, both, orjson.loads(updated.json)),
            ("task.updated", bob.user_id, both, orjson.loads(renamed.json)),
            ("task.deleted", alice.user_id, both, orjson.loads(deleted.json)),
        ]

    def test_a_task_created_with_an_assignee_records_an_assignment_event(self, alice: Actor, bob: Actor) -> None:
        task_id = create_task(alice, assignee_id=bob.user_id)

        assert recorded_types(task_id) == ["task.created", "task.assigned"]

    def test_an_event_has_the_id_of_its_request(self, alice: Actor) -> None:
        with bound_to_log(request_id="the-request"):
            create_task(alice)

        assert execute("SELECT request_id FROM events").fetchone() == ("the-request",)

    def test_an_update_without_changes_records_no_event(self, alice: Actor) -> None:
        task_id = create_task(alice, city="London")
        before = read_task(alice, task_id)

        assert update_task(alice, task_id, title="Clean the gutters", city="London", status="todo") == before
        assert len(recorded_events(task_id)) == 1

    def test_a_refused_change_records_no_event(self, alice: Actor) -> None:
        task_id = create_task(alice)

        with pytest.raises(Invalid):
            update_task(alice, task_id, title="new", assignee_id=10**9)

        assert read_task(alice, task_id)["title"] == "Clean the gutters"
        assert len(recorded_events(task_id)) == 1

    def test_a_task_is_completed_and_reopened(self, alice: Actor) -> None:
        task_id = create_task(alice, status="done")
        first = read_task(alice, task_id)
        still = update_task(alice, task_id, title="still done")
        reopened = update_task(alice, task_id, status="in_progress")

        assert first["completed"]
        assert first["completed_at"] == still["completed_at"] is not None
        assert (reopened["completed"], reopened["completed_at"]) == (False, None)

    def test_parallel_changes_are_all_made(self, alice: Actor) -> None:
        task_id = create_task(alice)

        def rename(number: int) -> None:
            update_task(alice, task_id, title=f"title {number}")

        in_parallel(rename, 24)

        assert read_task(alice, task_id)["version"] == 25
        assert [event.data["version"] for event in recorded_events(task_id)] == list(range(1, 26))

    def test_only_one_of_several_parallel_deletions_succeeds(self, alice: Actor) -> None:
        task_id = create_task(alice)

        def delete(_: int) -> bool:
            try:
                tasks.delete_task(alice, task_id)
            except NotFound:
                return False
            return True

        assert sorted(in_parallel(delete, 4)) == [False, False, False, True]
        assert recorded_types(task_id) == ["task.created", "task.deleted"]


class TestCities:
    @pytest.fixture
    def enriched(self, alice: Actor) -> int:
        task_id = create_task(alice, city="London")
        with unit_of_work():
            execute("""UPDATE tasks SET weather_status = 'ready', weather = '{"temperature": 11.4}'""")
        return task_id

    def test_another_city_sets_the_weather_to_pending(self, enriched: int, alice: Actor) -> None:
        task = update_task(alice, enriched, city="Oslo")

        assert (task["city"], task["weather"], task["weather_status"]) == ("Oslo", None, "pending")

    def test_another_spelling_keeps_the_weather(self, enriched: int, alice: Actor) -> None:
        task = update_task(alice, enriched, city="LONDON")

        assert (task["city"], task["weather_status"], task["weather"]["temperature"]) == ("LONDON", "ready", 11.4)

    def test_no_city_has_no_weather(self, enriched: int, alice: Actor) -> None:
        task = update_task(alice, enriched, city=None)

        assert (task["city"], task["weather"], task["weather_status"]) == (None, None, None)
