"""Clients of earlier task managers work without a change other than the base URL."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis
from websockets.sync.client import ClientConnection, connect

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.api.realtime import next_frame, publish
from tests.builders import PASSWORD
from tests.polling import wait_until
from tests.sql import execute

PROJECT = Path(__file__).resolve().parents[2]
EMAIL = "carol@example.com"
FORM = {"username": EMAIL, "password": PASSWORD}
PROFILE = {"email": EMAIL, "username": "carol", "full_name": "Carol", "password": PASSWORD}
NOWHERE = 999_999_999


@contextmanager
def listening(
    server: LiveServer, path: str, token: str | None, *, token_in_first_message: bool = False
) -> Iterator[ClientConnection]:
    """Open a socket with the token in a header; or in the first message, as a web page must, which sets no headers."""
    headers = {} if token_in_first_message else {"Authorization": f"Bearer {token}"}
    with connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None, additional_headers=headers) as socket:
        if token_in_first_message:
            socket.send(json.dumps({"action": "authenticate", "token": token}))
        assert next_frame(socket)["type"] == "ready"
        yield socket


def parsed(time: str) -> datetime:
    return datetime.fromisoformat(time)


class TestA:
    """Unversioned, singular paths with other field names; login by form, lists as arrays, 200 for a deletion."""

    def test_register_log_in_and_create_change_and_delete_a_task(
        self, live_server: LiveServer, anybody: Caller
    ) -> None:
        user = anybody.post("/user/", json={"name": "Carol", "email": EMAIL, "password": PASSWORD})
        assert user.status_code == 201
        user_id = user.json()["id"]
        assert user.json() == {"id": user_id, "name": "Carol", "email": EMAIL}

        login = anybody.post("/login", data=FORM)
        assert (login.status_code, login.json()["token_type"]) == (200, "bearer")
        carol = Caller(live_server.url, login.json()["access_token"])
        assert carol.get(f"/user/{user_id}/").json() == user.json()

        created = carol.post(
            "/task/tasks/",
            json={
                "title": "Mow",
                "description": "The lawn",
                "due_date": "2026-05-01T09:00:00",
                "creation_date": "2001-01-01T00:00:00",
            },
        )
        assert created.status_code == 201
        task = created.json()
        assert (task["title"], task["description"], task["completed"]) == ("Mow", "The lawn", False)
        assert parsed(task["due_date"]) == datetime(2026, 5, 1, 9, tzinfo=UTC)
        assert parsed(task["creation_date"]).year > 2001
        path = f"/task/{task['id']}"
        assert carol.get(path).json() == task

        changed = carol.put(f"/task/tasks/{task['id']}", json={"title": "Mow again", "completed": True})
        assert changed.status_code == 200
        assert (changed.json()["title"], changed.json()["completed"]) == ("Mow again", True)
        assert changed.json()["due_date"] == task["due_date"]

        deleted = carol.delete(path)
        assert (deleted.status_code, deleted.json()) == (200, changed.json())
        assert_problem(carol.get(path), 404, "task_not_found")

    def test_a_task_has_the_canonical_fields_and_two_additional_ones(self, as_alice: Caller) -> None:
        earlier = as_alice.post("/task/tasks/", json={"title": "x", "due_date": "2026-05-01"}).json()
        canonical = as_alice.get(f"/api/v1/tasks/{earlier['id']}").json()

        assert earlier == canonical | {"due_date": canonical["due_at"], "creation_date": canonical["created_at"]}

    def test_a_duplicate_is_400(self, anybody: Caller, alice: Actor) -> None:
        body = {"name": "Alice", "email": "alice@example.com", "password": PASSWORD}

        assert_problem(anybody.post("/user/", json=body), 400, "account_taken")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"password": "short"}, "password"),
            ({"role": "admin"}, "role"),
            ({"name": None}, "name"),
            ({"email": "no address"}, "email"),
        ],
    )
    def test_a_bad_registration_is_422(self, change: dict[str, Any], field: str, anybody: Caller) -> None:
        body = {"name": "Carol", "email": EMAIL, "password": PASSWORD} | change

        problem = assert_problem(anybody.post("/user/", json=body), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == [field]

    @pytest.mark.parametrize("path", ["/login", "/login/"])
    def test_wrong_passwords_get_401_and_later_429(self, path: str, anybody: Caller, alice: Actor) -> None:
        form = {"username": "alice@example.com", "password": "not her password"}

        responses = [anybody.post(path, data=form) for _ in range(8)]

        assert_problem(responses[0], 401, "invalid_credentials")
        assert_problem(responses[-1], 429, "login_delayed")

    def test_the_login_accepts_a_form_only(self, anybody: Caller, alice: Actor) -> None:
        response = anybody.post("/login", json={"username": "alice@example.com", "password": PASSWORD})

        assert response.status_code == 415

    def test_users_see_their_own_account_and_those_who_share_a_task(
        self, as_alice: Caller, as_bob: Caller, as_mallory: Caller, as_ada: Caller, alice: Actor, bob: Actor
    ) -> None:
        def statuses() -> list[int]:
            pairs = [(as_alice, bob), (as_bob, alice), (as_mallory, alice), (as_ada, alice), (as_alice, alice)]
            return [caller.get(f"/user/{actor.user_id}/").status_code for caller, actor in pairs]

        before = statuses()
        task = as_alice.post("/tasks", json={"title": "Row", "assignee_id": bob.user_id}).json()
        as_bob.patch(f"/tasks/{task['id']}", json={"status": "in_progress"})
        as_mallory.post("/tasks", json={"title": "Spy"})

        assert (before, statuses()) == ([404, 404, 404, 200, 200], [200, 200, 404, 200, 200])

    def test_the_name_of_a_stranger_is_not_learnt_by_assigning_a_task(
        self, as_alice: Caller, as_mallory: Caller, alice: Actor, mallory: Actor
    ) -> None:
        assigned = as_mallory.post("/tasks", json={"title": "Spy", "assignee_id": alice.user_id})
        task = f"/api/v1/tasks/{assigned.json()['id']}"

        assert_problem(as_mallory.get(f"/user/{alice.user_id}/"), 404, "account_not_found")
        seen = [as_mallory.get(path).text.lower() for path in (task, f"{task}/activity", "/api/v1/notifications")]
        assert "alice" not in assigned.text.lower() + "".join(seen)
        # Mallory has worked on a task of Alice, so Alice may see her name.
        assert as_alice.get(f"/user/{mallory.user_id}/").json()["name"] == "Mallory"

    def test_the_owner_of_a_shared_task_sees_the_name_but_not_the_email(
        self, as_alice: Caller, as_bob: Caller, as_ada: Caller, bob: Actor
    ) -> None:
        task = as_alice.post("/tasks", json={"title": "Row", "assignee_id": bob.user_id}).json()
        as_bob.patch(f"/tasks/{task['id']}", json={"status": "in_progress"})

        seen = [caller.get(f"/user/{bob.user_id}/").json() for caller in (as_alice, as_bob, as_ada)]

        assert [user["name"] for user in seen] == ["Bob"] * 3
        assert [user["email"] for user in seen] == [None, "bob@example.com", "bob@example.com"]

    def test_an_invisible_account_and_a_missing_account_get_the_same_404(
        self, as_mallory: Caller, alice: Actor
    ) -> None:
        problems = [
            assert_problem(as_mallory.get(f"/user/{user_id}/"), 404, "account_not_found")
            for user_id in (alice.user_id, NOWHERE)
        ]

        assert problems[0]["detail"] == problems[1]["detail"]

    def test_the_name_of_an_account_without_full_name_is_its_username(
        self, live_server: LiveServer, anybody: Caller
    ) -> None:
        user = anybody.post("/auth/register", json={"username": "dora", "password": PASSWORD}).json()
        token = anybody.post("/login", data={"username": "dora", "password": PASSWORD}).json()["access_token"]

        found = Caller(live_server.url, token).get(f"/user/{user['id']}/").json()

        assert found == {"id": user["id"], "name": "dora", "email": None}

    def test_the_list_is_an_array(self, as_alice: Caller, as_mallory: Caller) -> None:
        ids = [as_alice.post("/task/tasks/", json={"title": "x"}).json()["id"] for _ in range(12)]
        as_mallory.post("/task/tasks/", json={"title": "Not hers"})
        newest_first = ids[::-1]

        assert [task["id"] for task in as_alice.get("/task/").json()] == newest_first
        assert [task["id"] for task in as_alice.get("/task/?skip=10&limit=10").json()] == newest_first[10:]
        assert as_alice.get("/task/?skip=50").json() == []
        assert as_alice.get("/task/").headers["X-Total-Count"] == "12"
        assert as_alice.get("/task/?limit=1001").status_code == 422

    @pytest.mark.parametrize(
        ("due_date", "instant"),
        [
            ("2026-05-01", "2026-05-01T00:00:00+00:00"),
            ("2026-05-01T09:30", "2026-05-01T09:30:00+00:00"),
            ("2026-05-01T09:30:15", "2026-05-01T09:30:15+00:00"),
            ("2026-05-01 09:30:15.250000", "2026-05-01T09:30:15.250000+00:00"),
            ("2026-05-01T09:30:15+02:00", "2026-05-01T07:30:15+00:00"),
            ("2026-05-01T09:30:15Z", "2026-05-01T09:30:15+00:00"),
        ],
    )
    def test_a_due_date_without_a_zone_is_utc(self, due_date: str, instant: str, as_alice: Caller) -> None:
        task = as_alice.post("/task/tasks/", json={"title": "x", "due_date": due_date}).json()

        assert parsed(task["due_date"]) == parsed(instant)

    @pytest.mark.parametrize(
        "body",
        [
            {"title": "x", "due_date": "tomorrow"},
            {"title": "x", "due_date": "2026-02-30"},
            {"title": "x", "due_date": "2026-05-01T25:00:00"},
            {"title": "x", "due_date": 1777626000},
            {"title": "x", "owner_id": 7},
            {"title": "x", "due_at": "2026-05-01T09:30:15Z"},
            {"title": ""},
            {},
        ],
    )
    def test_a_bad_task_is_422(self, body: dict[str, Any], as_alice: Caller) -> None:
        assert_problem(as_alice.post("/task/tasks/", json=body), 422, "invalid")

    def test_the_canonical_api_refuses_times_without_a_zone(self, as_alice: Caller) -> None:
        naive = {"title": "x", "due_at": "2026-05-01T09:00:00"}

        assert_problem(as_alice.post("/api/v1/tasks", json=naive), 422, "invalid")

    def test_a_put_changes_only_the_given_fields(self, as_alice: Caller) -> None:
        body = {"title": "x", "description": "y", "due_date": "2026-05-01"}
        path = f"/task/tasks/{as_alice.post('/task/tasks/', json=body).json()['id']}"
        as_alice.put(path, json={"description": "z", "creation_date": "2001-01-01"})

        task = as_alice.put(path, json={"due_date": None}).json()

        assert (task["title"], task["description"], task["due_date"]) == ("x", "z", None)
        assert_problem(as_alice.put(path, json={"title": None}), 422, "invalid")
        assert_problem(as_alice.put(path, json={"completed": None}), 422, "invalid")
        assert_problem(as_alice.put(path, json={"status": "done"}), 422, "invalid")

    @pytest.mark.parametrize(
        ("status", "completed", "becomes"),
        [
            ("todo", True, "done"),
            ("done", False, "todo"),
            ("in_progress", False, "in_progress"),
            ("done", True, "done"),
        ],
    )
    def test_completed_sets_or_clears_the_status_done(
        self, status: str, completed: bool, becomes: str, as_alice: Caller
    ) -> None:
        task_id = as_alice.post("/tasks", json={"title": "x", "status": status}).json()["id"]

        task = as_alice.put(f"/task/tasks/{task_id}", json={"completed": completed}).json()

        assert (task["status"], task["completed"]) == (becomes, becomes == "done")

    @pytest.mark.parametrize("path", ["/task/{}", "/task/{}/", "/task/tasks/{}", "/task/tasks/{}/"])
    def test_a_delete_returns_the_deleted_task(self, path: str, as_alice: Caller) -> None:
        task = as_alice.post("/task/tasks/", json={"title": "x"}).json()

        deleted = as_alice.delete(path.format(task["id"]))

        assert (deleted.status_code, deleted.json()) == (200, task)

    def test_tasks_of_others_are_refused(self, as_alice: Caller, as_mallory: Caller, anybody: Caller) -> None:
        task_id = as_alice.post("/task/tasks/", json={"title": "x"}).json()["id"]
        attempts: list[tuple[str, str, dict[str, Any] | None]] = [
            ("GET", f"/task/{task_id}", None),
            ("PUT", f"/task/tasks/{task_id}", {"completed": False}),
            ("PUT", f"/task/tasks/{task_id}", {"title": "y"}),
            ("DELETE", f"/task/{task_id}", None),
            ("DELETE", f"/task/tasks/{task_id}", None),
        ]
        for method, path, body in attempts:
            assert_problem(as_mallory(method, path, json=body), 403, "task_forbidden")
            assert anybody(method, path, json=body).status_code == 401
            missing = path.replace(str(task_id), str(NOWHERE))
            assert_problem(as_alice(method, missing, json=body), 404, "task_not_found")

    def test_the_socket_path_may_contain_a_client_name(
        self, live_server: LiveServer, as_alice: Caller, redis: "Redis[bytes]"
    ) -> None:
        with listening(live_server, "/ws/tasks/42", as_alice.token, token_in_first_message=True) as socket:
            task = as_alice.post("/task/tasks/", json={"title": "x"}).json()
            publish(redis)
            frame = next_frame(socket)

        assert (frame["type"], frame["task_id"]) == ("task.created", task["id"])

    def test_the_paths_do_not_exist_under_api_v1(self, anybody: Caller) -> None:
        assert [anybody.post(f"/api/v1{path}").status_code for path in ("/user/", "/login", "/task/tasks/")] == [
            404
        ] * 3

    def test_the_openapi_document_lists_the_operations(self, anybody: Caller) -> None:
        document = anybody.get("/openapi.json").json()
        described = {
            f"{method.upper()} {path}"
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if operation["tags"] == ["earlier API"]
        }

        assert described == {
            "POST /user", "GET /user/{user_id}", "POST /login", "GET /task", "POST /task/tasks", "GET /task/{task_id}",
            "DELETE /task/{task_id}", "PUT /task/tasks/{task_id}", "DELETE /task/tasks/{task_id}",
        }  # fmt: skip


class TestB:
    """The canonical API: versioned paths, JSON only, lists as objects with a total."""

    def test_register_login_and_me(self, live_server: LiveServer, anybody: Caller) -> None:
        profile = anybody.post("/api/v1/auth/register", json=PROFILE)
        assert (profile.status_code, profile.json()["role"]) == (201, "user")
        assert "password" not in profile.text

        grant = anybody.post("/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()

        assert (grant["token_type"], grant["expires_in"], grant["user"]) == ("bearer", 1800, profile.json())
        carol = Caller(live_server.url, grant["access_token"])
        assert carol.get("/api/v1/auth/me").json() == profile.json()
        renewed = anybody.post("/api/v1/auth/refresh", json={"refresh_token": grant["refresh_token"]})
        assert (renewed.status_code, renewed.json()["expires_in"]) == (200, 1800)
        (session,) = carol.get("/api/v1/auth/sessions").json()
        assert parsed(session["expires_at"]) - parsed(session["created_at"]) == pytest.approx(
            timedelta(days=7), abs=timedelta(minutes=1)
        )

    @pytest.mark.parametrize(("password", "status"), [("gr8 wal", 422), ("gr8 wall", 201)])
    def test_a_password_needs_eight_characters(self, password: str, status: int, anybody: Caller) -> None:
        response = anybody.post("/api/v1/auth/register", json=PROFILE | {"password": password})

        assert response.status_code == status

    def test_passwords_are_hashed_with_bcrypt_in_twelve_rounds(self) -> None:
        assert Settings.model_fields["bcrypt_rounds"].default == 12

    def test_a_list_is_an_object_with_items_and_total(self, as_alice: Caller) -> None:
        ids = [as_alice.post("/api/v1/tasks", json={"title": "x"}).json()["id"] for _ in range(5)]

        page = as_alice.get("/api/v1/tasks?skip=1&limit=2").json()

        assert [task["id"] for task in page["items"]] == [ids[3], ids[2]]
        assert (page["total"], page["skip"], page["limit"]) == (5, 1, 2)
        assert as_alice.get("/api/v1/tasks?skip=9").json()["items"] == []

    def test_a_put_keeps_what_it_leaves_out_and_a_delete_returns_204(self, as_alice: Caller) -> None:
        path = f"/api/v1/tasks/{as_alice.post('/api/v1/tasks', json={'title': 'x', 'description': 'y'}).json()['id']}"

        replaced = as_alice.put(path, json={"title": "z", "status": "in_progress"})
        deleted = as_alice.delete(path)

        assert (replaced.status_code, replaced.json()["description"]) == (200, "y")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert_problem(as_alice.get(path), 404, "task_not_found")

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_another_users_task_is_403_except_for_admins(
        self, method: str, as_alice: Caller, as_mallory: Caller, as_ada: Caller
    ) -> None:
        path = f"/api/v1/tasks/{as_alice.post('/api/v1/tasks', json={'title': 'x'}).json()['id']}"
        body = {"title": "y"} if method == "PUT" else None

        assert_problem(as_mallory(method, path, json=body), 403, "task_forbidden")
        assert as_ada(method, path, json=body).status_code in {200, 204}

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"title": ""}, 422),
            ({"title": "t" * 255}, 201),
            ({"title": "t" * 256}, 422),
            ({"title": "t", "description": "d" * 5000}, 201),
            ({"title": "t", "description": "d" * 5001}, 422),
        ],
    )
    def test_title_and_description_have_length_limits(
        self, fields: dict[str, str], status: int, as_alice: Caller
    ) -> None:
        assert as_alice.post("/api/v1/tasks", json=fields).status_code == status

    @pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/redoc", "/api/v1/openapi.json"])
    def test_the_documentation_pages_exist(self, path: str, anybody: Caller) -> None:
        assert anybody.get(path).status_code == 200


class TestC:
    """Unversioned, plural paths: user names, weather, filters, analytics, rate limit, log file and socket."""

    def test_register_and_log_in_by_username(self, live_server: LiveServer, anybody: Caller) -> None:
        account = {"username": "carol", "password": PASSWORD}

        assert anybody.post("/auth/register", json=account).status_code == 201
        assert anybody.post("/auth/register", json=account).status_code == 400
        token = anybody.post("/auth/login", json=account).json()["access_token"]
        assert anybody.post("/auth/login", json=account | {"password": "wrong one"}).status_code == 401

        assert Caller(live_server.url, token).get("/tasks").json() == []

    def test_create_read_change_and_delete_a_task(self, as_alice: Caller) -> None:
        created = as_alice.post("/tasks", json={"title": "Sail", "description": "Far", "city": "Kiel"})
        path = f"/tasks/{created.json()['id']}"

        assert (created.status_code, created.json()["weather_status"]) == (201, "pending")
        assert as_alice.get(path).json() == created.json()
        assert as_alice.put(path, json={"title": "Row", "status": "done"}).json()["title"] == "Row"
        assert as_alice.delete(path).status_code == 204
        assert as_alice.get(path).status_code == 404

    def test_filters_pages_and_order(self, as_ada: Caller, as_alice: Caller, as_bob: Caller, alice: Actor) -> None:
        for caller, title, status in ((as_alice, "b", "done"), (as_alice, "a", "todo"), (as_bob, "c", "done")):
            caller.post("/tasks", json={"title": title, "status": status})
        today = datetime.now(UTC).date()

        def titles(query: str) -> str:
            return "".join(task["title"] for task in as_ada.get(f"/tasks?sort=title&{query}").json())

        assert titles("") == "abc"
        assert titles("status=done") == "bc"
        assert titles(f"user_id={alice.user_id}") == "ab"
        assert titles(f"status=done&user_id={alice.user_id}") == "b"
        assert titles(f"created_from={today - timedelta(days=1)}&created_to={today}") == "abc"
        assert titles(f"created_to={today - timedelta(days=2)}") == ""
        assert titles("skip=1&limit=1") == "b"
        assert as_ada.get("/tasks?sort=-title").json()[0]["title"] == "c"

    def test_analytics_by_status_and_user_over_days(self, as_alice: Caller) -> None:
        for status in ("todo", "todo", "done"):
            as_alice.post("/tasks", json={"title": "x", "status": status})
        today = datetime.now(UTC).date()

        figures = as_alice.get(f"/analytics?start_date={today - timedelta(days=1)}&end_date={today}").json()
        before = as_alice.get(f"/analytics?end_date={today - timedelta(days=2)}").json()

        assert figures["by_status"] == {"todo": 2, "in_progress": 0, "done": 1}
        assert figures["by_user"] == {"alice": 3}
        assert sum(before["by_status"].values()) == 0

    def test_each_user_may_send_a_hundred_requests_a_minute(
        self, settings: Settings, issuer: TokenIssuer, alice: Actor, bob: Actor
    ) -> None:
        with LiveServer(create_app(settings.model_copy(update={"rate_limit": "100/minute"}))) as server:
            as_alice, as_bob = (
                Caller(server.url, issuer.access_token(actor.user_id, actor.session_id)) for actor in (alice, bob)
            )
            responses = [as_alice.get("/tasks")]
            # The window is a minute of the clock. If it ends during the loop, the count starts again.
            while responses[-1].status_code == 200 and len(responses) < 300:
                responses.append(as_alice.get("/tasks"))
            untouched = as_bob.get("/tasks")

        assert_problem(responses[-1], 429, "rate_limited")
        assert 0 < int(responses[-1].headers["Retry-After"]) <= 60
        assert [int(response.headers["RateLimit-Remaining"]) for response in responses[-101:-1]] == list(
            range(99, -1, -1)
        )
        assert untouched.status_code == 200

    def test_every_change_is_logged_to_app_log_and_stdout_with_its_user(
        self, environ: dict[str, str], tmp_path: Path, unused_tcp_port: int, alice: Actor, issuer: TokenIssuer
    ) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        as_alice = Caller(url, issuer.access_token(alice.user_id, alice.session_id))
        variables = {"LOG_FILE": str(tmp_path / "app.log"), "PORT": str(unused_tcp_port), "APP_ENV": "production"}
        with (tmp_path / "stdout").open("wb") as stdout:
            process = subprocess.Popen(
                [sys.executable, "-m", "api"], cwd=PROJECT, env=os.environ | environ | variables, stdout=stdout
            )
            try:
                wait_until(lambda: is_serving(url), 40)
                task_id = as_alice.post("/tasks", json={"title": "x"}).json()["id"]
                as_alice.put(f"/tasks/{task_id}", json={"title": "y"})
                as_alice.delete(f"/tasks/{task_id}")
            finally:
                process.terminate()
                process.wait(30)

        for name in ("app.log", "stdout"):
            lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
            changes = [(line["kind"], line["task_id"], line["actor_id"]) for line in lines if line["event"] == "change"]
            assert changes == [(f"task.{end}", task_id, alice.user_id) for end in ("created", "updated", "deleted")]

    def test_the_socket_sends_creations_and_updates(
        self, live_server: LiveServer, as_alice: Caller, as_mallory: Caller, redis: "Redis[bytes]"
    ) -> None:
        with listening(live_server, "/ws", as_alice.token) as socket:
            as_mallory.post("/tasks", json={"title": "Not visible to Alice"})
            task = as_alice.post("/tasks", json={"title": "x"}).json()
            changed = as_alice.put(f"/tasks/{task['id']}", json={"title": "y"}).json()
            publish(redis)
            frames = [next_frame(socket), next_frame(socket)]

        assert [(frame["type"], frame["data"]) for frame in frames] == [
            ("task.created", task),
            ("task.updated", changed),
        ]


class TestD:
    """Canonical paths with a trailing slash; login by form, and the refresh token as a cookie."""

    @pytest.fixture
    def client(self, live_server: LiveServer) -> Caller:
        """A client with its own cookies, whose account is registered."""
        client = Caller(live_server.url)
        client.post("/api/v1/auth/register/", json={"email": EMAIL, "password": PASSWORD})
        return client

    def log_in(self, client: Caller) -> requests.Response:
        return client.post("/api/v1/auth/login/", data=FORM | {"grant_type": "password"})

    @pytest.fixture
    def carol(self, client: Caller, live_server: LiveServer) -> Caller:
        return Caller(live_server.url, self.log_in(client).json()["access_token"])

    def test_the_refresh_token_is_an_httponly_cookie_and_rotates(self, client: Caller) -> None:
        login = self.log_in(client)
        assert (login.status_code, login.json()["token_type"]) == (200, "bearer")
        assert re.match(r"refresh_token=[^;]+;.*HttpOnly", login.headers["Set-Cookie"])

        refreshed = client.post("/api/v1/auth/refresh/")

        assert refreshed.status_code == 200
        assert refreshed.cookies["refresh_token"] == refreshed.json()["refresh_token"]
        assert refreshed.cookies["refresh_token"] != login.cookies["refresh_token"]

    def test_a_replayed_refresh_token_ends_the_session(self, client: Caller, live_server: LiveServer) -> None:
        stolen = self.log_in(client).json()["refresh_token"]
        for _ in range(2):
            assert client.post("/api/v1/auth/refresh/").status_code == 200

        replay = Caller(live_server.url).post("/api/v1/auth/refresh/", json={"refresh_token": stolen})

        assert_problem(replay, 401, "refresh_token_reused")
        assert_problem(client.post("/api/v1/auth/refresh/"), 401, "session_revoked")

    def test_repeated_wrong_passwords_get_429(self, client: Caller) -> None:
        guess = FORM | {"password": "a mere guess"}

        statuses = [client.post("/api/v1/auth/login/", data=guess).status_code for _ in range(8)]

        assert (statuses[0], statuses[-1]) == (401, 429)

    def test_sessions_are_listed_and_logout_ends_the_current_one(self, client: Caller, carol: Caller) -> None:
        self.log_in(client)
        assert len(carol.get("/api/v1/auth/sessions/").json()) == 2
        assert len(carol.post("/api/v1/auth/sessions/").json()) == 2

        assert carol.post("/api/v1/auth/logout/").status_code == 204
        assert_problem(carol.get("/api/v1/users/about_me/"), 401, "session_revoked")
        assert client.post("/api/v1/auth/refresh/").status_code == 200

    def test_logging_out_everywhere_ends_the_other_sessions_too(self, client: Caller, carol: Caller) -> None:
        self.log_in(client)

        assert carol.post("/api/v1/auth/logout_all/").status_code == 204

        assert_problem(client.post("/api/v1/auth/refresh/"), 401, "session_revoked")

    def test_users_about_me_returns_the_profile(self, carol: Caller) -> None:
        assert carol.get("/api/v1/users/about_me/").json()["email"] == EMAIL

    def test_task_paths_work_with_a_trailing_slash(self, carol: Caller) -> None:
        created = carol.post("/api/v1/tasks/", json={"title": "x"})
        path = f"/api/v1/tasks/{created.json()['id']}/"

        assert created.status_code == 201
        assert carol.get("/api/v1/tasks/").json()["total"] == 1
        assert carol.patch(path, json={"status": "done"}).json()["completed"] is True
        assert carol.put(path, json={"title": "y"}).json()["title"] == "y"
        assert carol.delete(path).status_code == 204

    def test_the_socket_accepts_a_client_name_in_its_path(
        self, live_server: LiveServer, carol: Caller, redis: "Redis[bytes]"
    ) -> None:
        with listening(live_server, "/ws/tasks/my-phone", carol.token) as socket:
            carol.post("/api/v1/tasks/", json={"title": "x"})
            publish(redis)

            assert next_frame(socket)["type"] == "task.created"


class TestE:
    """Unversioned, plural paths: email addresses, login by form, lists as arrays, PATCH."""

    def test_register_and_log_in_by_email(self, live_server: LiveServer, anybody: Caller) -> None:
        account = {"email": EMAIL, "password": PASSWORD}
        registered = anybody.post("/auth/register", json=account)
        assert (registered.status_code, registered.json()["email"]) == (201, EMAIL)
        assert isinstance(registered.json()["id"], int)
        assert anybody.post("/auth/register", json=account).status_code == 400

        login = anybody.post("/auth/login", data=FORM)

        assert (login.status_code, login.json()["token_type"]) == (200, "bearer")
        assert Caller(live_server.url, login.json()["access_token"]).get("/tasks/").json() == []

    @pytest.mark.parametrize("change", [{"password": "wrong one"}, {"username": "nobody@example.com"}])
    def test_a_failed_login_is_401_and_has_a_detail(self, change: dict[str, str], anybody: Caller) -> None:
        anybody.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})

        response = anybody.post("/auth/login", data=FORM | change)

        assert response.status_code == 401
        assert isinstance(response.json()["detail"], str)

    @pytest.mark.parametrize("path", ["/tasks", "/tasks/"])
    def test_the_list_is_an_array_of_own_tasks_newest_first(
        self, path: str, as_alice: Caller, as_mallory: Caller
    ) -> None:
        as_mallory.post(path, json={"title": "hers"})
        created = [as_alice.post(path, json={"title": title}) for title in "abc"]

        assert {response.status_code for response in created} == {201}
        assert [task["title"] for task in as_alice.get(path).json()] == ["c", "b", "a"]

    def test_a_patch_changes_given_fields_and_a_delete_returns_204(self, as_alice: Caller) -> None:
        path = f"/tasks/{as_alice.post('/tasks', json={'title': 'x', 'description': 'y'}).json()['id']}"

        patched = as_alice.patch(path, json={"status": "done"})
        deleted = as_alice.delete(path)

        assert (patched.status_code, patched.json()["description"], patched.json()["completed"]) == (200, "y", True)
        assert (deleted.status_code, deleted.content) == (204, b"")

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_tasks_of_others_get_403_and_missing_tasks_404(
        self, method: str, as_alice: Caller, as_mallory: Caller, anybody: Caller
    ) -> None:
        path = f"/tasks/{as_alice.post('/tasks', json={'title': 'x'}).json()['id']}"
        body = {"title": "y"} if method == "PATCH" else None

        statuses = [caller(method, path, json=body).status_code for caller in (as_mallory, anybody)]

        assert [*statuses, as_alice(method, f"/tasks/{NOWHERE}", json=body).status_code] == [403, 401, 404]


class TestNames:
    """Whoever registers can log in with the same text."""

    @pytest.mark.parametrize(
        "account",
        [
            {"email": "carol@bücher.example"},
            {"email": "Carol@BÜCHER.example"},
            {"email": "carol@xn--bcher-kva.example"},
            {"email": "\uff43\uff41\uff52\uff4f\uff4c\uff20example\uff0ecom"},
            {"username": "\uff57\uff49\uff44\uff45"},
            {"username": "ΟΔΥΣΣΕΥΣ"},
            {"username": "İstanbul"},
            {"username": "nai\u0308ve"},
            {"username": "ﬃ"},
        ],
    )
    def test_the_same_text_registers_and_logs_in(self, account: dict[str, str], anybody: Caller) -> None:
        (name,) = account.values()
        for path in ("/api/v1/auth", "/auth"):
            registered = anybody.post(f"{path}/register", json=account | {"password": PASSWORD})

            assert registered.status_code == (201 if path == "/api/v1/auth" else 400)
            assert anybody.post(f"{path}/login", json=account | {"password": PASSWORD}).status_code == 200
            assert anybody.post(f"{path}/login", data={"username": name, "password": PASSWORD}).status_code == 200

    def test_the_singular_style_too(self, anybody: Caller) -> None:
        email = "Carol@BÜCHER.example"
        anybody.post("/user/", json={"name": "Carol", "email": email, "password": PASSWORD})

        assert anybody.post("/login", data={"username": email, "password": PASSWORD}).status_code == 200

    def test_two_ways_to_write_a_name_are_one_account(self, anybody: Caller) -> None:
        ways = ("na\u00efve", "nai\u0308ve", "NAÏVE", "\uff4e\uff41ï\uff56\uff45")

        responses = [anybody.post("/auth/register", json={"username": way, "password": PASSWORD}) for way in ways]

        assert [response.status_code for response in responses] == [201, 400, 400, 400]

    @pytest.mark.parametrize("username", ["ali\u200bce", "ali\u202ece", "ali\u0007ce", "alice\ufe0f", "two\u00a0words"])
    def test_a_username_with_unseen_characters_is_refused(
        self, username: str, anybody: Caller, as_alice: Caller
    ) -> None:
        registered = anybody.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})

        assert invalid_fields(registered) == ["username"]
        assert invalid_fields(as_alice.patch("/api/v1/auth/me", json={"username": username})) == ["username"]

    def test_a_username_cannot_be_the_email_of_another_person_in_wide_letters(self, anybody: Caller) -> None:
        account = {"username": "victim\uff20example.com", "email": EMAIL, "password": PASSWORD}

        assert invalid_fields(anybody.post("/auth/register", json=account)) == ["username"]

    def test_a_name_that_is_too_long_once_normalized_is_refused(self, anybody: Caller) -> None:
        account = {"username": "\ufdfa" * 254, "password": PASSWORD}

        assert invalid_fields(anybody.post("/auth/register", json=account)) == ["username"]

    def test_failures_of_an_account_count_together(self, anybody: Caller, alice: Actor) -> None:
        names = ["alice", "ALICE@example.com", "\uff41\uff4c\uff49\uff43\uff45", "alice@example.com"] * 2

        responses = [anybody.post("/login", data={"username": name, "password": "a guess"}) for name in names]

        assert_problem(responses[0], 401, "invalid_credentials")
        assert_problem(responses[-1], 429, "login_delayed")


class TestLimits:
    """Earlier clients ask for no page, or for pages of up to 1,000."""

    @pytest.fixture
    def many_tasks(self, alice: Actor) -> int:
        execute(
            "INSERT INTO tasks (title, user_id) SELECT number::text, %s FROM generate_series(1, 1001) number",
            (alice.user_id,),
        )
        return 1001

    def test_bare_arrays_have_a_thousand_items_unless_asked_otherwise(self, as_alice: Caller, many_tasks: int) -> None:
        for path in ("/tasks", "/task/"):
            array = as_alice.get(path)

            assert (len(array.json()), array.headers["X-Total-Count"]) == (1000, str(many_tasks))
            assert len(as_alice.get(f"{path}?limit=3").json()) == 3

    def test_an_envelope_has_a_hundred_items_and_a_thousand_if_asked(self, as_alice: Caller, many_tasks: int) -> None:
        pages = [as_alice.get(path).json() for path in ("/api/v1/tasks", "/api/v1/tasks?limit=1000")]

        assert [(len(page["items"]), page["limit"], page["total"]) for page in pages] == [
            (100, 100, many_tasks),
            (1000, 1000, many_tasks),
        ]

    def test_every_list_accepts_a_thousand_and_no_more(self, as_ada: Caller) -> None:
        task = f"/api/v1/tasks/{as_ada.post('/tasks', json={'title': 'x'}).json()['id']}"
        document = as_ada.get("/openapi.json").json()
        lists = [
            path
            for path, methods in document["paths"].items()
            # What has a limit, but no pages, is a search that returns a few of the best.
            if any(parameter["name"] == "skip" for parameter in methods.get("get", {}).get("parameters", []))
        ]

        assert len(lists) > 8
        for path in lists:
            address = re.sub(r"^.*\{task_id\}", task, path)
            statuses = [as_ada.get(f"{address}?limit={limit}").status_code for limit in (1000, 1001)]
            assert (path, statuses) == (path, [200, 422])


class TestPasswords:
    """The documents of earlier task managers show the password `password123`."""

    @pytest.mark.parametrize(
        ("path", "account", "login", "body"),
        [
            ("/user/", {"name": "Carol", "email": EMAIL}, "/login", {"data": {"username": EMAIL}}),
            ("/auth/register", {"username": "carol"}, "/auth/login", {"json": {"username": "carol"}}),
            ("/auth/register", {"email": EMAIL}, "/auth/login", {"data": {"username": EMAIL}}),
        ],
    )
    def test_the_documented_password_suffices_without_the_prefix(
        self, path: str, account: dict[str, str], login: str, body: dict[str, dict[str, str]], anybody: Caller
    ) -> None:
        password = {"password": "password123"}
        ((kind, name),) = body.items()

        assert anybody.post(path, json=account | password).status_code == 201
        assert anybody.post(login, **{kind: name | password}).status_code == 200

    @pytest.mark.parametrize("password", ["password123", f"{EMAIL}!"])
    def test_the_canonical_registration_refuses_passwords_that_are_easy_to_guess(
        self, password: str, anybody: Caller
    ) -> None:
        response = anybody.post("/api/v1/auth/register", json={"email": EMAIL, "password": password})

        assert invalid_fields(response) == ["password"]
        assert password not in response.text

    def test_the_operator_may_ask_for_a_minimum_score(self, settings: Settings, database: None) -> None:
        account = {"email": EMAIL, "password": "gr8 wall"}
        with LiveServer(create_app(settings.model_copy(update={"password_min_score": 3}))) as server:
            anybody = Caller(server.url)

            assert invalid_fields(anybody.post("/api/v1/auth/register", json=account)) == ["password"]
            assert anybody.post("/auth/register", json=account).status_code == 201

    def test_the_tests_of_the_style_by_email_pass(self, live_server: LiveServer, anybody: Caller) -> None:
        """The steps of that task manager's own nine tests, with its own data."""
        account = {"email": "test@example.com", "password": "password123"}
        registered = anybody.post("/auth/register", json=account)
        assert (registered.status_code, registered.json()["email"]) == (201, "test@example.com")
        assert anybody.post("/auth/register", json=account).status_code == 400

        form = {"username": account["email"], "password": account["password"]}
        login = anybody.post("/auth/login", data=form)
        assert (login.status_code, login.json()["token_type"]) == (200, "bearer")
        assert anybody.post("/auth/login", data=form | {"password": "wrongpassword"}).status_code == 401
        assert anybody.get("/tasks").status_code == 401

        owner = Caller(live_server.url, login.json()["access_token"])
        created = owner.post("/tasks", json={"title": "Test Task", "description": "Test Description"})
        assert (created.status_code, created.json()["title"]) == (201, "Test Task")
        path = f"/tasks/{created.json()['id']}"
        assert [task["title"] for task in owner.get("/tasks").json()] == ["Test Task"]
        assert owner.get(path).json()["description"] == "Test Description"
        assert owner.patch(path, json={"title": "Updated Task"}).json()["title"] == "Updated Task"
        assert owner.delete(path).status_code == 204
        assert owner.get(path).status_code == 404


def is_serving(url: str) -> bool:
    """Return whether a server responds at this URL."""
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
