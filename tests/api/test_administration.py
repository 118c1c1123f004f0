"""Admins manage all accounts; other users manage their own."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.models.account import User
from core.policy import Actor, Role
from tests.api.callers import Caller, assert_problem
from tests.builders import PASSWORD, create_actor
from tests.sql import execute


class TestPermission:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v1/users"),
            ("GET", "/api/v1/users/1"),
            ("PATCH", "/api/v1/users/1"),
            ("DELETE", "/api/v1/users/1"),
            ("GET", "/api/v1/audit"),
        ],
    )
    def test_only_admins_may_manage_accounts(self, method: str, path: str, as_mallory: Caller, anybody: Caller) -> None:
        body = {"json": {"role": "admin"}} if method == "PATCH" else {}

        assert_problem(as_mallory(method, path, **body), 403, "admin_required")
        assert_problem(anybody(method, path, **body), 401, "token_missing")

    def test_a_manager_may_not_manage_accounts(
        self, as_alice: Caller, as_ada: Caller, alice: Actor, anybody: Caller
    ) -> None:
        assert as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"role": "manager"}).json()["role"] == "manager"
        token = anybody.post("/auth/login", json={"username": "alice", "password": PASSWORD}).json()["access_token"]

        response = anybody.get("/api/v1/users", headers={"Authorization": f"Bearer {token}"})

        assert_problem(response, 403, "admin_required")


class TestAccounts:
    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("", ["ada", "alice", "bob"]),
            ("?q=ALI", ["alice"]),
            ("?q=bob@example", ["bob"]),
            ("?role=admin", ["ada"]),
            ("?is_active=false", []),
            ("?skip=1&limit=1", ["alice"]),
            ("?q=%25", []),
        ],
    )
    def test_accounts_are_searched_and_filtered(
        self, query: str, names: list[str], as_ada: Caller, alice: Actor, bob: Actor
    ) -> None:
        response = as_ada.get(f"/api/v1/users{query}")

        assert [account["username"] for account in response.json()["items"]] == names
        assert "password" not in response.text

    def test_an_account_is_read_and_an_unknown_one_gets_404(self, as_ada: Caller, alice: Actor) -> None:
        assert as_ada.get(f"/api/v1/users/{alice.user_id}").json()["username"] == "alice"
        assert_problem(as_ada.get(f"/api/v1/users/{10**9}"), 404, "account_not_found")
        assert_problem(as_ada.patch(f"/api/v1/users/{10**9}", json={"role": "user"}), 404, "account_not_found")
        assert_problem(as_ada.delete(f"/api/v1/users/{10**9}"), 404, "account_not_found")

    def test_disabling_an_account_ends_its_sessions_and_can_be_undone(
        self, as_ada: Caller, as_alice: Caller, alice: Actor, anybody: Caller
    ) -> None:
        assert as_alice.get("/auth/me").status_code == 200

        disabled = as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"is_active": False}).json()

        login = {"username": "alice", "password": PASSWORD}
        assert disabled["is_active"] is False
        assert_problem(as_alice.get("/auth/me"), 401, "session_revoked")
        assert_problem(anybody.post("/auth/login", json=login), 401, "invalid_credentials")
        as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"is_active": True})
        assert anybody.post("/auth/login", json=login).status_code == 200

    def test_an_unchanged_account_keeps_its_sessions(self, as_ada: Caller, as_alice: Caller, alice: Actor) -> None:
        as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"role": "user", "is_active": True})

        assert as_alice.get("/auth/me").status_code == 200

    @pytest.mark.parametrize("body", [{"role": "owner"}, {"role": None}, {"is_active": "yes"}, {"email": "x"}])
    def test_a_bad_change_is_invalid(self, body: dict[str, Any], as_ada: Caller, alice: Actor) -> None:
        assert_problem(as_ada.patch(f"/api/v1/users/{alice.user_id}", json=body), 422, "invalid")

    def test_deleting_an_account_deletes_its_tasks_and_unassigns_others(
        self, as_ada: Caller, as_alice: Caller, as_bob: Caller, bob: Actor
    ) -> None:
        own = as_bob.post("/tasks", json={"title": "Bob's"}).json()
        others = as_alice.post("/tasks", json={"title": "Alice's", "assignee_id": bob.user_id}).json()

        assert as_ada.delete(f"/api/v1/users/{bob.user_id}").status_code == 204

        assert_problem(as_ada.get(f"/tasks/{own['id']}"), 404, "task_not_found")
        assert as_alice.get(f"/tasks/{others['id']}").json()["assignee_id"] is None
        kinds = execute("SELECT type, task_id FROM events ORDER BY id DESC LIMIT 2").fetchall()
        assert set(kinds) == {("task.deleted", own["id"]), ("task.updated", others["id"])}


class TestLastAdmin:
    @pytest.mark.parametrize(
        ("method", "body"), [("PATCH", {"role": "user"}), ("PATCH", {"is_active": False}), ("DELETE", None)]
    )
    def test_the_last_admin_cannot_be_demoted_disabled_or_deleted(
        self, method: str, body: dict[str, Any] | None, as_ada: Caller, ada: Actor
    ) -> None:
        assert_problem(as_ada(method, f"/api/v1/users/{ada.user_id}", json=body), 409, "last_admin")
        assert as_ada.get("/api/v1/users").status_code == 200

    def test_the_last_admin_cannot_delete_their_own_account(self, as_ada: Caller) -> None:
        response = as_ada.post("/api/v1/users/me/delete", json={"current_password": PASSWORD})

        assert_problem(response, 409, "last_admin")

    def test_two_admins_who_demote_each_other_leave_one_admin(
        self, as_ada: Caller, ada: Actor, caller_for: Any
    ) -> None:
        eve = create_actor("eve", Role.ADMIN)
        as_eve = caller_for(eve)

        def demote(task: tuple[Caller, int]) -> int:
            return task[0].patch(f"/api/v1/users/{task[1]}", json={"role": "user"}).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(demote, [(as_ada, eve.user_id), (as_eve, ada.user_id)]))

        assert User.select().where(User.role == "admin").count() == 1
        assert 200 in statuses


class TestOwnAccount:
    def test_the_export_contains_the_data_of_the_account(
        self, as_alice: Caller, as_mallory: Caller, alice: Actor
    ) -> None:
        as_mallory.post("/tasks", json={"title": "Mallory's"})
        task = as_alice.post("/tasks", json={"title": "Alice's"}).json()

        response = as_alice.get("/api/v1/users/me/export")

        export = response.json()
        assert "attachment" in response.headers["Content-Disposition"]
        assert export["profile"]["username"] == "alice"
        assert export["tasks"] == [task]
        assert [session["id"] for session in export["sessions"]] == [alice.session_id]
        actions = [entry["action"] for entry in export["audit"]]
        assert actions == ["data.exported", "login.succeeded", "account.registered"]
        assert "hash" not in response.text

    def test_the_export_contains_contributions_to_tasks_of_others(
        self, as_alice: Caller, as_bob: Caller, as_ada: Caller, bob: Actor, ada: Actor
    ) -> None:
        group_id = as_ada.post("/api/v1/groups", json={"name": "Roofers"}).json()["id"]
        as_ada.put(f"/api/v1/groups/{group_id}/members/{bob.user_id}")
        task = as_alice.post("/tasks", json={"title": "Alice's", "assignee_id": bob.user_id}).json()["id"]
        for caller in (as_bob, as_alice):
            caller.post(f"/tasks/{task}/comments", json={"body": "Hello"})
            caller.post(f"/tasks/{task}/reminders", json={"seconds_before_due": 60})
        as_bob.post(f"/tasks/{task}/delegate", json={"assignee_id": ada.user_id, "note": "Please"})
        as_alice.post(f"/tasks/{task}/delegate", json={"assignee_id": bob.user_id})

        export = as_bob.get("/api/v1/users/me/export").json()

        assert [(group["group_id"], group["name"]) for group in export["groups"]] == [(group_id, "Roofers")]
        assert [(comment["task_id"], comment["body"]) for comment in export["comments"]] == [(task, "Hello")]
        assert [(step["to_id"], step["note"]) for step in export["delegations"]] == [(ada.user_id, "Please")]
        assert [reminder["seconds_before_due"] for reminder in export["reminders"]] == [60]

    def test_deleting_ones_account_needs_the_password(self, as_alice: Caller, anybody: Caller) -> None:
        wrong = as_alice.post("/api/v1/users/me/delete", json={"current_password": "wrong"})

        assert_problem(wrong, 422, "invalid")
        assert as_alice.post("/api/v1/users/me/delete", json={"current_password": PASSWORD}).status_code == 204
        assert_problem(as_alice.get("/auth/me"), 401, "session_revoked")
        login = anybody.post("/auth/login", json={"username": "alice", "password": PASSWORD})
        assert_problem(login, 401, "invalid_credentials")

    def test_a_username_cannot_be_an_email_address_of_another_person(self, as_alice: Caller) -> None:
        response = as_alice.patch("/auth/me", json={"username": "victim@example.com"})

        problem = assert_problem(response, 422, "invalid")
        assert [error["field"] for error in problem["errors"]] == ["username"]

    @pytest.mark.parametrize("weak", ["password123", "alice is great"])
    def test_a_weak_new_password_is_refused(self, weak: str, as_alice: Caller) -> None:
        response = as_alice.patch("/auth/me", json={"password": weak, "current_password": PASSWORD})

        problem = assert_problem(response, 422, "invalid")
        assert [error["field"] for error in problem["errors"]] == ["password"]
        assert weak not in response.text
