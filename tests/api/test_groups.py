"""Groups over HTTP: who creates and manages them, and what their members may do with the group's tasks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.db import unit_of_work
from core.policy import Actor, Role
from tests.api.callers import Caller, assert_problem, id_in, invalid_fields
from tests.builders import create_actor
from tests.sql import execute

GROUPS = "/api/v1/groups"
GROUP_FIELDS = "id name created_at updated_at members".split()
MEMBER_FIELDS = "user_id username is_manager joined_at".split()


@pytest.fixture
def carol(database: None) -> Actor:
    """A user with the role manager, who creates the groups."""
    return create_actor("carol", Role.MANAGER)


@pytest.fixture
def as_carol(caller_for: Callable[[Actor], Caller], carol: Actor) -> Caller:
    return caller_for(carol)


def make_group(caller: Caller, *members: Actor, name: str = "Roofers") -> str:
    """Create a group with these members and return its path."""
    response = caller.post(GROUPS, json={"name": name})
    assert response.status_code == 201, response.text
    path = f"{GROUPS}/{response.json()['id']}"
    for member in members:
        assert caller.put(f"{path}/members/{member.user_id}").status_code == 200
    return path


def members_of(caller: Caller, path: str) -> dict[int, bool]:
    """Return the ids of the members of a group; the value is whether the member is a manager."""
    return {member["user_id"]: member["is_manager"] for member in caller.get(path).json()["members"] or []}


class TestMaking:
    def test_the_creator_of_a_group_becomes_its_manager(self, as_carol: Caller, carol: Actor) -> None:
        response = as_carol.post(GROUPS, json={"name": "Roofers"})

        group = response.json()
        assert response.status_code == 201
        assert response.headers["Location"].endswith(f"{GROUPS}/{group['id']}")
        assert list(group) == GROUP_FIELDS
        assert [list(member) for member in group["members"]] == [MEMBER_FIELDS]
        assert group["name"] == "Roofers"
        assert members_of(as_carol, f"{GROUPS}/{group['id']}") == {carol.user_id: True}
        assert as_carol.get(f"{GROUPS}/{group['id']}").json() == group

    def test_only_managers_and_admins_create_groups(
        self, as_carol: Caller, as_ada: Caller, as_alice: Caller, anybody: Caller
    ) -> None:
        body = {"json": {"name": "Roofers"}}

        assert [caller.post(GROUPS, **body).status_code for caller in (as_carol, as_ada)] == [201, 201]
        assert_problem(as_alice.post(GROUPS, **body), 403, "group_forbidden")
        assert_problem(anybody.post(GROUPS, **body), 401, "token_missing")
        assert execute("SELECT count(*) FROM groups").fetchone() == (2,)

    @pytest.mark.parametrize("name", ["Крыша и сад", "屋根職人", "👷🏽‍♀️ & Söhne", "x" * 100, "👷" * 100])
    def test_a_name_is_stored_unchanged(self, name: str, as_carol: Caller) -> None:
        assert as_carol.post(GROUPS, json={"name": name}).json()["name"] == name

    @pytest.mark.parametrize("name", ["", "   ", "x" * 101, "nul\x00", None, 7])
    def test_a_bad_name_is_refused(self, name: object, as_carol: Caller) -> None:
        path = make_group(as_carol)

        assert invalid_fields(as_carol.post(GROUPS, json={"name": name})) == ["name"]
        assert invalid_fields(as_carol.patch(path, json={"name": name})) == ["name"]

    def test_a_repeated_request_creates_one_group(self, as_carol: Caller) -> None:
        request = {"json": {"name": "Roofers"}, "headers": {"Idempotency-Key": "once"}}

        first, second = (as_carol.post(GROUPS, **request) for _ in range(2))

        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert as_carol.get(GROUPS).json()["total"] == 1
        other = as_carol.post(GROUPS, json={"name": "Gardeners"}, headers=request["headers"])
        assert_problem(other, 422, "idempotency_key_reused")


class TestReading:
    def test_members_list_their_groups_and_admins_list_all(
        self, as_carol: Caller, as_bob: Caller, as_ada: Caller, as_mallory: Caller, bob: Actor
    ) -> None:
        first, second = make_group(as_carol, bob, name="first"), make_group(as_carol, name="second")
        third = make_group(as_ada, name="third")

        listed = {caller: caller.get(GROUPS).json() for caller in (as_carol, as_bob, as_ada, as_mallory)}

        ids = {caller: [group["id"] for group in page["items"]] for caller, page in listed.items()}
        assert ids[as_carol] == [id_in(first), id_in(second)]
        assert ids[as_bob] == [id_in(first)]
        assert ids[as_ada] == [id_in(path) for path in (first, second, third)]
        assert listed[as_mallory] == {"items": [], "total": 0, "skip": 0, "limit": 100}
        assert listed[as_bob]["items"] == [as_bob.get(first).json()]

    def test_pages_neither_skip_nor_repeat(self, as_carol: Caller) -> None:
        paths = [make_group(as_carol, name=f"group {number}") for number in range(5)]

        pages = [as_carol.get(f"{GROUPS}?skip={skip}&limit=2") for skip in (0, 2, 4, 6)]

        assert [[group["id"] for group in page.json()["items"]] for page in pages] == [
            [id_in(path) for path in paths[skip : skip + 2]] for skip in (0, 2, 4, 6)
        ]
        assert {page.headers["X-Total-Count"] for page in pages} == {"5"}

    def test_strangers_get_404_for_existing_and_missing_groups(
        self, as_carol: Caller, as_bob: Caller, as_mallory: Caller, as_ada: Caller, bob: Actor, mallory: Actor
    ) -> None:
        path = make_group(as_carol, bob)
        missing = f"{GROUPS}/{id_in(path) + 1000}"

        assert as_bob.get(path).json() == as_ada.get(path).json()
        for caller, absent in ((as_mallory, path), (as_mallory, missing), (as_ada, missing)):
            assert_problem(caller.get(absent), 404, "group_not_found")
            assert_problem(caller.patch(absent, json={"name": "x"}), 404, "group_not_found")
            assert_problem(caller.put(f"{absent}/members/{mallory.user_id}"), 404, "group_not_found")
            assert_problem(caller.delete(f"{absent}/members/{mallory.user_id}"), 404, "group_not_found")
            assert_problem(caller.delete(f"{absent}/members/{bob.user_id}"), 404, "group_not_found")
            assert_problem(caller.delete(absent), 404, "group_not_found")

    def test_a_group_does_not_show_email_addresses(self, as_carol: Caller) -> None:
        emailed = create_actor("dave@example.com")

        path = make_group(as_carol, emailed)

        names = {member["user_id"]: member["username"] for member in as_carol.get(path).json()["members"]}
        assert names[emailed.user_id] == "dave"
        assert "@" not in as_carol.get(GROUPS).text


class TestManaging:
    def test_members_cannot_change_the_group(self, as_carol: Caller, as_bob: Caller, bob: Actor, alice: Actor) -> None:
        path = make_group(as_carol, bob, alice)
        before = as_carol.get(path).json()

        for refused in (
            as_bob.patch(path, json={"name": "Bob's"}),
            as_bob.put(f"{path}/members/{bob.user_id}", json={"is_manager": True}),
            as_bob.delete(f"{path}/members/{alice.user_id}"),
            as_bob.delete(path),
        ):
            assert_problem(refused, 403, "group_forbidden")
        assert as_carol.get(path).json() == before

    def test_an_admin_manages_every_group(self, as_carol: Caller, as_ada: Caller, carol: Actor, bob: Actor) -> None:
        path = make_group(as_carol)

        assert as_ada.patch(path, json={"name": "Ada's"}).json()["name"] == "Ada's"
        assert as_ada.put(f"{path}/members/{bob.user_id}").status_code == 200
        assert as_ada.delete(f"{path}/members/{carol.user_id}").status_code == 204
        assert members_of(as_ada, path) == {bob.user_id: False}
        assert as_ada.delete(path).status_code == 204
        assert_problem(as_ada.get(path), 404, "group_not_found")

    def test_a_manager_of_a_group_does_not_need_the_role_manager(
        self, as_carol: Caller, as_bob: Caller, carol: Actor, bob: Actor, alice: Actor
    ) -> None:
        path = make_group(as_carol, bob)

        promoted = as_carol.put(f"{path}/members/{bob.user_id}", json={"is_manager": True})
        assert {member["user_id"]: member["is_manager"] for member in promoted.json()["members"]} == {
            carol.user_id: True,
            bob.user_id: True,
        }
        assert as_bob.put(f"{path}/members/{alice.user_id}").status_code == 200
        assert as_bob.put(f"{path}/members/{carol.user_id}", json={"is_manager": False}).status_code == 200

        assert members_of(as_bob, path) == {carol.user_id: False, bob.user_id: True, alice.user_id: False}
        assert_problem(as_carol.patch(path, json={"name": "Mine again"}), 403, "group_forbidden")

    def test_renaming_changes_only_the_name(self, as_carol: Caller, bob: Actor) -> None:
        path = make_group(as_carol, bob)
        before = as_carol.get(path).json()

        renamed = as_carol.patch(path, json={"name": "Gardeners"}).json()

        assert renamed["updated_at"] > before["updated_at"]
        assert renamed == before | {"name": "Gardeners", "updated_at": renamed["updated_at"]}

    @pytest.mark.parametrize("account_exists", [True, False])
    def test_only_active_accounts_can_be_added(self, account_exists: bool, as_carol: Caller, bob: Actor) -> None:
        path = make_group(as_carol)
        with unit_of_work():
            execute(
                "UPDATE users SET is_active = false WHERE id = %s"
                if account_exists
                else "DELETE FROM users WHERE id = %s",
                (bob.user_id,),
            )

        refused = as_carol.put(f"{path}/members/{bob.user_id}")

        assert invalid_fields(refused) == ["user_id"]

    def test_a_member_can_leave_once(self, as_carol: Caller, as_bob: Caller, bob: Actor, carol: Actor) -> None:
        path = make_group(as_carol, bob)
        membership = f"{path}/members/{bob.user_id}"

        assert as_bob.delete(membership).status_code == 204
        assert_problem(as_bob.get(path), 404, "group_not_found")
        assert_problem(as_bob.delete(membership), 404, "group_not_found")
        assert_problem(as_carol.delete(membership), 404, "member_not_found")
        assert members_of(as_carol, path) == {carol.user_id: True}

    def test_a_group_without_members_is_kept(self, as_carol: Caller, as_ada: Caller, carol: Actor, ada: Actor) -> None:
        path = make_group(as_carol)

        assert as_carol.delete(f"{path}/members/{carol.user_id}").status_code == 204

        assert as_ada.get(path).json()["members"] == []
        assert_problem(as_ada.delete(f"{path}/members/{ada.user_id}"), 404, "member_not_found")

    def test_only_one_of_two_managers_who_demote_each_other_succeeds(
        self, as_carol: Caller, as_bob: Caller, carol: Actor, bob: Actor
    ) -> None:
        path = make_group(as_carol)
        as_carol.put(f"{path}/members/{bob.user_id}", json={"is_manager": True})

        def demote(who: tuple[Caller, Actor]) -> int:
            return who[0].put(f"{path}/members/{who[1].user_id}", json={"is_manager": False}).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(demote, [(as_carol, bob), (as_bob, carol)]))

        assert sorted(statuses) == [200, 403]
        assert sorted(members_of(as_carol, path).values()) == [False, True]

    def test_adding_a_member_many_times_in_parallel_adds_one_membership(
        self, as_carol: Caller, caller_for: Callable[[Actor], Caller], carol: Actor, bob: Actor
    ) -> None:
        path = make_group(as_carol)
        callers = [caller_for(carol) for _ in range(4)]

        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(lambda caller: caller.put(f"{path}/members/{bob.user_id}"), callers * 3))

        assert {response.status_code for response in responses} == {200}
        assert members_of(as_carol, path) == {carol.user_id: True, bob.user_id: False}


class TestTasks:
    """Carol manages a group. Alice and Bob are its members. Alice owns a task of the group."""

    @pytest.fixture
    def group(self, as_carol: Caller, alice: Actor, bob: Actor) -> str:
        return make_group(as_carol, alice, bob)

    @pytest.fixture
    def task(self, as_alice: Caller, group: str) -> str:
        created = as_alice.post("/api/v1/tasks", json={"title": "The roof", "group_id": id_in(group)})
        assert created.status_code == 201, created.text
        return f"/api/v1/tasks/{created.json()['id']}"

    def test_a_member_can_work_on_tasks_of_the_group(
        self, task: str, group: str, as_bob: Caller, as_carol: Caller, as_mallory: Caller
    ) -> None:
        assert as_bob.get(task).json()["group_id"] == id_in(group)
        for caller in (as_bob, as_carol):
            assert [item["title"] for item in caller.get("/api/v1/tasks").json()["items"]] == ["The roof"]
        assert as_bob.patch(task, json={"status": "done"}).json()["completed"] is True
        assert as_bob.post(f"{task}/comments", json={"body": "Done!"}).status_code == 201
        assert as_bob.post(f"{task}/reminders", json={"seconds_before_due": 60}).status_code == 201
        assert as_bob.get(f"{task}/activity").status_code == 200
        assert as_mallory.get("/api/v1/tasks").json()["items"] == []
        assert_problem(as_mallory.get(task), 403, "task_forbidden")

    def test_a_member_cannot_assign_delegate_or_delete(
        self, task: str, as_bob: Caller, bob: Actor, as_carol: Caller
    ) -> None:
        for refused in (
            as_bob.patch(task, json={"assignee_id": bob.user_id}),
            as_bob.patch(task, json={"group_id": None}),
            as_bob.put(task, json={"title": "Nobody's", "group_id": None}),
            as_bob.post(f"{task}/delegate", json={"assignee_id": bob.user_id}),
            as_bob.delete(task),
            as_carol.delete(task),
        ):
            assert_problem(refused, 403, "task_forbidden")
        assert as_bob.get(task).json()["version"] == 1

    def test_a_manager_of_the_group_can_assign_and_delegate(
        self, task: str, as_carol: Caller, bob: Actor, mallory: Actor
    ) -> None:
        assigned = as_carol.patch(task, json={"assignee_id": bob.user_id})
        passed_on = as_carol.post(f"{task}/delegate", json={"assignee_id": mallory.user_id})

        assert assigned.json()["assignee_id"] == bob.user_id
        assert passed_on.json()["assignee_id"] == mallory.user_id

    def test_a_removed_member_loses_access_to_the_tasks(
        self, task: str, group: str, as_carol: Caller, as_bob: Caller, bob: Actor
    ) -> None:
        assert as_carol.delete(f"{group}/members/{bob.user_id}").status_code == 204

        assert_problem(as_bob.get(task), 403, "task_forbidden")
        assert_problem(as_bob.patch(task, json={"status": "done"}), 403, "task_forbidden")
        assert_problem(as_bob.post(f"{task}/comments", json={"body": "!"}), 403, "task_forbidden")
        assert_problem(as_bob.get(f"{task}/comments"), 403, "task_forbidden")
        assert as_bob.get(f"/api/v1/tasks?group_id={id_in(group)}").json()["items"] == []

    def test_events_are_sent_to_the_current_members_only(
        self, task: str, group: str, as_alice: Caller, as_carol: Caller, alice: Actor, bob: Actor, carol: Actor
    ) -> None:
        as_carol.delete(f"{group}/members/{bob.user_id}")
        as_alice.patch(task, json={"status": "done"})
        as_alice.patch(task, json={"group_id": None})

        recorded = execute("SELECT type, audience FROM events WHERE task_id IS NOT NULL ORDER BY id").fetchall()
        everybody, without_bob = {alice.user_id, bob.user_id, carol.user_id}, {alice.user_id, carol.user_id}
        assert [(kind, set(audience)) for kind, audience in recorded] == [
            ("task.created", everybody),
            ("task.assigned", everybody),
            ("task.updated", without_bob),
            ("task.updated", {alice.user_id}),
        ]

    def test_users_give_tasks_only_to_their_own_groups(
        self, group: str, as_mallory: Caller, as_alice: Caller, as_ada: Caller
    ) -> None:
        other = make_group(as_ada, name="Ada's")
        task = f"/api/v1/tasks/{as_alice.post('/tasks', json={'title': 'x'}).json()['id']}"
        of_another, of_none = {"group_id": id_in(other)}, {"group_id": id_in(other) + 1000}

        for refused in (
            as_mallory.post("/api/v1/tasks", json={"title": "x", "group_id": id_in(group)}),
            as_alice.patch(task, json=of_another),
            as_alice.patch(task, json=of_none),
            as_ada.patch(task, json=of_none),
            as_ada.post("/api/v1/tasks", json={"title": "x"} | of_none),
        ):
            assert invalid_fields(refused) == ["group_id"]
        assert as_ada.patch(task, json=of_another).json()["group_id"] == id_in(other)

    def test_deleting_a_group_keeps_its_tasks_for_their_owners(
        self, task: str, group: str, as_carol: Caller, as_alice: Caller, as_bob: Caller, alice: Actor, carol: Actor
    ) -> None:
        other = as_alice.post("/api/v1/tasks", json={"title": "Not the group's"}).json()

        assert as_carol.delete(group).status_code == 204

        left = as_alice.get(task).json()
        assert (left["group_id"], left["version"]) == (None, 2)
        assert_problem(as_bob.get(task), 403, "task_forbidden")
        assert as_alice.get(f"/api/v1/tasks/{other['id']}").json() == other
        *_, last = execute(
            "SELECT type, actor_id, audience, data FROM events WHERE task_id IS NOT NULL ORDER BY id"
        ).fetchall()
        assert last[:3] == ("task.updated", carol.user_id, [alice.user_id])
        assert last[3] == left
        newest = as_alice.get(f"{task}/activity?limit=1").json()["items"][0]
        assert newest["changes"] == {"group_id": {"from": id_in(group), "to": None}}

    def test_a_task_list_is_filtered_by_group(
        self, task: str, group: str, as_alice: Caller, as_mallory: Caller
    ) -> None:
        as_alice.post("/api/v1/tasks", json={"title": "Not the group's"})
        query = f"/api/v1/tasks?group_id={id_in(group)}"

        assert [item["title"] for item in as_alice.get(query).json()["items"]] == ["The roof"]
        assert as_mallory.get(query).json()["items"] == []
        assert invalid_fields(as_alice.get("/api/v1/tasks?group_id=0")) == ["group_id"]
