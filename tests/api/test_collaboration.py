"""What people do around a task, over HTTP: pass it on, comment on it, set reminders, look back at its history."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from redis import Redis

from core import events
from core.config import Settings
from core.db import unit_of_work
from core.policy import Actor
from core.services import groups, publication, retention
from core.services.weather import WeatherService
from core.weather import provider_for
from tests.api.conftest import Caller, assert_problem
from tests.conftest import enlist
from tests.doubles.weather import WeatherServer
from tests.job_context import job_context
from tests.sql import execute

TASKS = "/api/v1/tasks"
DUE = "2030-05-01T09:00:00+00:00"


def create(caller: Caller, **fields: Any) -> str:
    """Create a task and answer its path."""
    response = caller.post(TASKS, json={"title": "The roof"} | fields)
    assert response.status_code == 201, response.text
    return f"{TASKS}/{response.json()['id']}"


def number_of(path: str) -> int:
    return int(path.rsplit("/", 1)[1])


def fields_of(response: requests.Response) -> list[str]:
    return [error["field"] for error in assert_problem(response, 422, "invalid")["errors"]]


def recorded(path: str, kind: str) -> list[tuple[Any, ...]]:
    """Who did, who hears and what is told, of all events of a kind."""
    rows: list[tuple[Any, ...]] = execute(
        "SELECT actor_id, audience, data FROM events WHERE task_id = %s AND type = %s ORDER BY id",
        (number_of(path), kind),
    ).fetchall()
    return rows


@pytest.fixture
def task(as_alice: Caller, bob: Actor) -> str:
    """Alice's task, which Bob is to do."""
    return create(as_alice, assignee_id=bob.user_id)


@pytest.fixture
def dora(database: None) -> Actor:
    """Somebody else who may be asked."""
    return enlist("dora")


@pytest.mark.parametrize(
    ("method", "part", "body"),
    [
        ("POST", "delegate", {"assignee_id": 1}),
        ("GET", "delegations", None),
        ("POST", "comments", {"body": "Hello"}),
        ("GET", "comments", None),
        ("PATCH", "comments/1", {"body": "Hello"}),
        ("DELETE", "comments/1", None),
        ("POST", "reminders", {"seconds_before_due": 60}),
        ("GET", "reminders", None),
        ("DELETE", "reminders/1", None),
        ("GET", "activity", None),
    ],
)
def test_strangers_are_told_403_and_of_what_is_not_there_404(
    method: str, part: str, body: dict[str, Any] | None, task: str, as_mallory: Caller, as_ada: Caller, anybody: Caller
) -> None:
    missing = f"{TASKS}/{number_of(task) + 1000}/{part}"

    assert_problem(anybody(method, f"{task}/{part}", json=body), 401, "token_missing")
    assert_problem(as_mallory(method, f"{task}/{part}", json=body), 403, "task_forbidden")
    assert_problem(as_mallory(method, missing, json=body), 404, "task_not_found")
    assert_problem(as_ada(method, missing, json=body), 404, "task_not_found")


class TestDelegation:
    def test_an_assignee_passes_it_on_and_is_out(
        self, task: str, as_bob: Caller, as_alice: Caller, bob: Actor, dora: Actor, caller_for: Any
    ) -> None:
        response = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id, "note": "You know the roof."})

        assert response.status_code == 200
        assert response.json()["assignee_id"] == dora.user_id
        assert response.headers["ETag"] == as_alice.get(task).headers["ETag"] == '"2"'
        assert response.json() == caller_for(dora).get(task).json()
        assert_problem(as_bob.get(task), 403, "task_forbidden")
        assert_problem(as_bob.post(f"{task}/delegate", json={"assignee_id": bob.user_id}), 403, "task_forbidden")

    def test_an_assignee_of_the_tasks_group_stays_in_reach(self, as_bob: Caller, bob: Actor, ada: Actor) -> None:
        group_id = groups.create_group(ada, "Roofers").id
        groups.put_member(ada, group_id, bob.user_id, is_manager=False)
        task = create(as_bob, group_id=group_id, assignee_id=bob.user_id)

        assert as_bob.post(f"{task}/delegate", json={"assignee_id": ada.user_id}).status_code == 200
        assert as_bob.get(task).status_code == 200

    def test_the_trail_tells_each_step_in_order(
        self, task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        as_bob.post(f"{task}/delegate", json={"assignee_id": ada.user_id, "note": "Крыша, bitte ☔"})
        as_ada.post(f"{task}/delegate", json={"assignee_id": alice.user_id})
        as_alice.patch(task, json={"assignee_id": None})
        as_alice.post(f"{task}/delegate", json={"assignee_id": bob.user_id, "note": ""})

        trail = as_bob.get(f"{task}/delegations").json()

        assert [(step["actor_id"], step["from_id"], step["to_id"], step["note"]) for step in trail] == [
            (bob.user_id, bob.user_id, ada.user_id, "Крыша, bitte ☔"),
            (ada.user_id, ada.user_id, alice.user_id, None),
            (alice.user_id, None, bob.user_id, ""),
        ]
        assert list(trail[0]) == "id actor_id from_id to_id note created_at".split()

    def test_a_task_that_never_changed_hands_has_no_trail(self, task: str, as_alice: Caller) -> None:
        assert as_alice.get(f"{task}/delegations").json() == []

    def test_it_is_told_as_a_change_and_as_what_it_is(
        self, task: str, as_bob: Caller, alice: Actor, bob: Actor, dora: Actor
    ) -> None:
        answer = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id, "note": "Please"}).json()

        ((*updated, data),) = recorded(task, events.TASK_UPDATED)
        ((*delegated, told),) = recorded(task, events.TASK_DELEGATED)
        assert updated == delegated == [bob.user_id, [alice.user_id, dora.user_id]]
        assert data == answer
        assert told == answer | {"delegation": {"from_id": bob.user_id, "to_id": dora.user_id, "note": "Please"}}

    def test_what_cannot_be_is_refused_and_leaves_nothing(
        self, task: str, as_bob: Caller, as_alice: Caller, bob: Actor, dora: Actor
    ) -> None:
        with unit_of_work():
            execute("UPDATE users SET is_active = false WHERE id = %s", (dora.user_id,))

        for assignee in (dora.user_id, bob.user_id, dora.user_id + 1000, None, "1"):
            assert fields_of(as_bob.post(f"{task}/delegate", json={"assignee_id": assignee})) == ["assignee_id"]
        too_long = {"assignee_id": dora.user_id, "note": "x" * 1001}
        assert fields_of(as_bob.post(f"{task}/delegate", json=too_long)) == ["note"]
        assert as_alice.get(task).json()["version"] == 1
        assert as_alice.get(f"{task}/delegations").json() == []

    def test_a_version_that_has_passed_is_refused(self, task: str, as_bob: Caller, dora: Actor, alice: Actor) -> None:
        as_bob.patch(task, json={"status": "in_progress"})
        stale = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id}, headers={"If-Match": '"1"'})
        present = as_bob.post(f"{task}/delegate", json={"assignee_id": dora.user_id}, headers={"If-Match": '"2"'})

        assert_problem(stale, 412, "version_mismatch")
        assert present.json()["version"] == 3

    def test_who_passes_it_on_at_once_with_others_does_it_alone(
        self, task: str, caller_for: Callable[[Actor], Caller], bob: Actor, as_alice: Caller
    ) -> None:
        others = [enlist(f"other{number}") for number in range(4)]
        callers = [caller_for(bob) for _ in others]

        with ThreadPoolExecutor(4) as pool:
            statuses = list(
                pool.map(
                    lambda pair: pair[0].post(f"{task}/delegate", json={"assignee_id": pair[1].user_id}).status_code,
                    zip(callers, others, strict=True),
                )
            )

        assert sorted(statuses) == [200, 403, 403, 403]
        (step,) = as_alice.get(f"{task}/delegations").json()
        assert step["to_id"] == as_alice.get(task).json()["assignee_id"] == others[statuses.index(200)].user_id


class TestComments:
    def say(self, caller: Caller, task: str, body: str = "The ladder is in the shed.") -> str:
        response = caller.post(f"{task}/comments", json={"body": body})
        assert response.status_code == 201, response.text
        return f"{task}/comments/{response.json()['id']}"

    def test_a_comment_has_its_fields_and_its_address(self, task: str, as_bob: Caller, bob: Actor) -> None:
        response = as_bob.post(f"{task}/comments", json={"body": "  Лестница 🪜 im Schuppen\n"})

        comment = response.json()
        assert response.status_code == 201
        assert response.headers["Location"].endswith(f"{task}/comments/{comment['id']}")
        assert list(comment) == "id task_id user_id body created_at updated_at".split()
        assert (comment["task_id"], comment["user_id"]) == (number_of(task), bob.user_id)
        assert comment["body"] == "Лестница 🪜 im Schuppen"
        assert as_bob.get(f"{task}/comments").json()["items"] == [comment]

    @pytest.mark.parametrize("body", ["", " \n", "x" * 5001, "nul\x00", None, 7])
    def test_a_bad_text_is_refused(self, body: object, task: str, as_bob: Caller) -> None:
        comment = self.say(as_bob, task, "x" * 5000)

        assert fields_of(as_bob.post(f"{task}/comments", json={"body": body})) == ["body"]
        assert fields_of(as_bob.patch(comment, json={"body": body})) == ["body"]

    def test_it_is_told_with_the_task(self, task: str, as_bob: Caller, alice: Actor, bob: Actor) -> None:
        comment = self.say(as_bob, task, 'He said: "tomorrow", \\o/')

        ((actor_id, audience, data),) = recorded(task, events.TASK_COMMENTED)
        assert (actor_id, audience) == (bob.user_id, [alice.user_id, bob.user_id])
        said = {"id": number_of(comment), "user_id": bob.user_id, "body": 'He said: "tomorrow", \\o/'}
        assert data == as_bob.get(task).json() | {"comment": said}

    def test_pages_are_the_oldest_first(self, task: str, as_alice: Caller, as_bob: Caller) -> None:
        for number in range(5):
            self.say((as_alice, as_bob)[number % 2], task, str(number))
        self.say(as_alice, create(as_alice), "elsewhere")

        pages = [as_bob.get(f"{task}/comments?skip={skip}&limit=2") for skip in (0, 2, 4, 6)]

        bodies = [[comment["body"] for comment in page.json()["items"]] for page in pages]
        assert bodies == [["0", "1"], ["2", "3"], ["4"], []]
        assert {(page.json()["total"], page.headers["X-Total-Count"]) for page in pages} == {(5, "5")}
        assert fields_of(as_bob.get(f"{task}/comments?limit=0")) == ["limit"]

    def test_only_its_author_changes_it(self, task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller) -> None:
        comment = self.say(as_bob, task, "Tomorrow")
        before = as_bob.get(f"{task}/comments").json()["items"][0]

        assert_problem(as_alice.patch(comment, json={"body": "Never"}), 403, "comment_forbidden")
        assert_problem(as_ada.patch(comment, json={"body": "Never"}), 403, "comment_forbidden")
        changed = as_bob.patch(comment, json={"body": "Today"}).json()

        assert changed["updated_at"] > before["updated_at"]
        assert changed == before | {"body": "Today", "updated_at": changed["updated_at"]}
        assert as_alice.get(f"{task}/comments").json()["items"] == [changed]

    def test_its_author_the_tasks_owner_and_admins_delete_it(
        self, task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller
    ) -> None:
        owners = self.say(as_alice, task)
        comments = [self.say(as_bob, task) for _ in range(3)]

        assert_problem(as_bob.delete(owners), 403, "comment_forbidden")
        for caller, comment in zip((as_bob, as_alice, as_ada), comments, strict=True):
            assert caller.delete(comment).status_code == 204
            assert_problem(caller.delete(comment), 404, "comment_not_found")
            assert_problem(as_bob.patch(comment, json={"body": "x"}), 404, "comment_not_found")
        assert as_bob.get(f"{task}/comments").json()["total"] == 1

    def test_who_lost_the_task_lost_what_they_said(self, task: str, as_bob: Caller, as_alice: Caller) -> None:
        comment = self.say(as_bob, task)
        as_alice.patch(task, json={"assignee_id": None})

        assert_problem(as_bob.patch(comment, json={"body": "x"}), 403, "task_forbidden")
        assert_problem(as_bob.delete(comment), 403, "task_forbidden")

    def test_a_comment_belongs_to_its_task(self, task: str, as_alice: Caller) -> None:
        comment = self.say(as_alice, task)
        elsewhere = f"{create(as_alice)}/comments/{number_of(comment)}"

        assert_problem(as_alice.patch(elsewhere, json={"body": "x"}), 404, "comment_not_found")
        assert_problem(as_alice.delete(elsewhere), 404, "comment_not_found")
        assert as_alice.get(f"{task}/comments").json()["total"] == 1

    def test_a_repeated_request_says_it_once(self, task: str, as_bob: Caller) -> None:
        request = {"json": {"body": "Once"}, "headers": {"Idempotency-Key": "once"}}

        first, second = (as_bob.post(f"{task}/comments", **request) for _ in range(2))

        assert (first.json(), second.headers["Idempotency-Replayed"]) == (second.json(), "true")
        assert as_bob.get(f"{task}/comments").json()["total"] == 1
        assert len(recorded(task, events.TASK_COMMENTED)) == 1


class TestActivity:
    def history(self, caller: Caller, task: str, query: str = "") -> list[dict[str, Any]]:
        response = caller.get(f"{task}/activity{query}")
        assert response.status_code == 200, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def test_it_tells_who_changed_what_from_what_to_what_the_newest_first(
        self, as_alice: Caller, as_bob: Caller, alice: Actor, bob: Actor
    ) -> None:
        task = create(as_alice)
        as_alice.patch(task, json={"assignee_id": bob.user_id, "due_at": DUE})
        as_bob.patch(task, json={"status": "done", "title": "The roof"})
        as_bob.post(f"{task}/comments", json={"body": "Done"})

        entries = self.history(as_alice, task)

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

    def test_pages_neither_skip_nor_repeat(self, as_alice: Caller) -> None:
        task = create(as_alice)
        for number in range(4):
            as_alice.patch(task, json={"title": f"title {number}"})
        whole = self.history(as_alice, task)

        pages = [as_alice.get(f"{task}/activity?skip={skip}&limit=2") for skip in (0, 2, 4, 6)]

        assert [entry for page in pages for entry in page.json()["items"]] == whole
        assert [len(page.json()["items"]) for page in pages] == [2, 2, 1, 0]
        assert {page.headers["X-Total-Count"] for page in pages} == {"5"}

    def test_what_is_refused_or_changes_nothing_is_no_part_of_it(
        self, task: str, as_alice: Caller, as_bob: Caller
    ) -> None:
        before = self.history(as_alice, task)
        as_bob.delete(task)
        as_bob.patch(task, json={"status": "todo"})
        as_bob.patch(task, json={"assignee_id": None})

        assert self.history(as_alice, task) == before

    def test_it_stays_when_the_events_go(self, task: str, as_alice: Caller, settings: Settings, redis: Redis) -> None:
        before = self.history(as_alice, task)
        publication.publish(redis, 1000, lambda _: None)
        with unit_of_work():
            execute("UPDATE events SET at = now() - interval '8 days'")

        assert retention.purge_events(job_context(settings, redis)) > 0
        assert execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert self.history(as_alice, task) == before

    def test_the_weather_is_nobodys_doing(self, as_alice: Caller, settings: Settings, redis: Redis) -> None:
        task = create(as_alice, city="London")
        with WeatherServer() as weather:
            urls = {"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url}
            patient = settings.model_copy(update=urls)
            WeatherService(patient, provider_for(patient), redis).enrich("london")

        newest = self.history(as_alice, task)[0]
        assert (newest["type"], newest["actor_id"]) == ("task.enriched", None)


class TestReminders:
    FIELDS = "id task_id user_id remind_at seconds_before_due fires_at fired_at created_at".split()

    def test_a_reminder_has_a_time_of_its_own(self, task: str, as_bob: Caller, bob: Actor) -> None:
        response = as_bob.post(f"{task}/reminders", json={"remind_at": "2030-05-01T11:00:00+02:00"})

        reminder = response.json()
        assert response.status_code == 201
        assert response.headers["Location"].endswith(f"{task}/reminders/{reminder['id']}")
        assert list(reminder) == self.FIELDS
        assert (reminder["task_id"], reminder["user_id"]) == (number_of(task), bob.user_id)
        assert reminder["fires_at"] == reminder["remind_at"] == DUE
        assert (reminder["seconds_before_due"], reminder["fired_at"]) == (None, None)
        assert as_bob.get(f"{task}/reminders").json() == [reminder]

    def test_or_lies_before_the_deadline_wherever_that_moves(self, task: str, as_alice: Caller) -> None:
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

    def test_a_deadline_that_moves_leaves_times_of_their_own(self, task: str, as_alice: Caller) -> None:
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
    def test_what_is_no_time_is_refused(self, body: dict[str, Any], field: str, task: str, as_bob: Caller) -> None:
        assert fields_of(as_bob.post(f"{task}/reminders", json=body)) == [field]
        assert as_bob.get(f"{task}/reminders").json() == []

    def test_the_longest_lead_before_the_earliest_deadline_can_be(self, as_alice: Caller) -> None:
        task = create(as_alice, due_at="1900-01-01T00:00:00Z")
        response = as_alice.post(f"{task}/reminders", json={"seconds_before_due": 366 * 24 * 3600})

        assert response.json()["fires_at"] == "1898-12-31T00:00:00+00:00"

    def test_the_next_one_is_the_first_and_what_has_fired_comes_last(self, task: str, as_alice: Caller) -> None:
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

    def test_everybody_who_works_on_the_task_takes_it_back(
        self, task: str, as_bob: Caller, as_alice: Caller, as_mallory: Caller
    ) -> None:
        reminder = f"{task}/reminders/{as_alice.post(f'{task}/reminders', json={'remind_at': DUE}).json()['id']}"
        elsewhere = f"{create(as_alice)}/reminders/{number_of(reminder)}"

        assert_problem(as_mallory.delete(reminder), 403, "task_forbidden")
        assert_problem(as_alice.delete(elsewhere), 404, "reminder_not_found")
        assert as_bob.delete(reminder).status_code == 204
        assert_problem(as_bob.delete(reminder), 404, "reminder_not_found")
        assert as_alice.get(f"{task}/reminders").json() == []

    def test_a_repeated_request_sets_one(self, task: str, as_bob: Caller) -> None:
        request = {"json": {"remind_at": DUE}, "headers": {"Idempotency-Key": "once"}}

        first, second = (as_bob.post(f"{task}/reminders", **request) for _ in range(2))

        assert first.json() == second.json()
        assert as_bob.get(f"{task}/reminders").json() == [first.json()]
