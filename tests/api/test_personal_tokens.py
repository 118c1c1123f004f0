"""Personal access tokens: shown once, limited to their scopes, and refused after they are revoked."""

from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from core.policy import Actor, Scope
from tests.api.callers import Caller, LiveServer, assert_problem
from tests.builders import PASSWORD
from tests.sql import execute

ALL_BUT_ADMIN = [scope.value for scope in Scope if scope is not Scope.ADMIN]


def make(owner: Caller, *scopes: str, **fields: Any) -> dict[str, Any]:
    response = owner.post("/api/v1/auth/tokens", json={"name": "a program", "scopes": list(scopes)} | fields)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


@pytest.fixture
def client_with_token(live_server: LiveServer) -> Any:
    """Return a function that makes a client with a new personal access token of a user."""
    return lambda owner, *scopes: Caller(live_server.url, make(owner, *scopes)["token"])


def test_a_token_is_shown_once_and_not_stored(as_alice: Caller) -> None:
    made = make(as_alice, "tasks:read", expires_in_days=7)

    listed = as_alice.get("/api/v1/auth/tokens")

    assert made["token"].startswith("allweather_pat_")
    assert listed.json() == [{name: value for name, value in made.items() if name != "token"}]
    assert made["token"] not in listed.text
    assert made["token"].rpartition(".")[2] not in repr(execute("SELECT * FROM sessions").fetchall())


def test_each_scope_allows_only_its_own_requests(as_alice: Caller, client_with_token: Any) -> None:
    task = as_alice.post("/tasks", json={"title": "x"}).json()
    requests_by_scope = {
        "tasks:read": [("GET", "/tasks"), ("GET", f"/tasks/{task['id']}"), ("GET", "/api/v1/places?q=Oslo")],
        "tasks:write": [("POST", "/tasks"), ("PATCH", f"/tasks/{task['id']}"), ("PUT", f"/tasks/{task['id']}")],
        "analytics:read": [
            ("GET", "/analytics"),
            ("GET", "/api/v1/analytics/days?start_date=2026-01-01&end_date=2026-01-02"),
        ],
        "events:read": [("POST", "/api/v1/ws/tickets")],
    }
    for held in requests_by_scope:
        caller = client_with_token(as_alice, held)
        for scope, attempts in requests_by_scope.items():
            for method, path in attempts:
                body = {"json": {"title": "y"}} if scope == "tasks:write" else {}
                response = caller(method, path, **body)
                if scope == held:
                    assert response.status_code in {200, 201}, (held, method, path)
                else:
                    assert scope in assert_problem(response, 403, "scope_missing")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/auth/tokens", {"name": "another", "scopes": ["tasks:read"]}),
        ("GET", "/api/v1/auth/tokens", None),
        ("PATCH", "/auth/me", {"password": "an even better one", "current_password": PASSWORD}),
        ("GET", "/auth/sessions", None),
        ("POST", "/auth/logout_all", None),
        ("POST", "/api/v1/users/me/delete", {"current_password": PASSWORD}),
        ("GET", "/api/v1/users/me/export", None),
    ],
)
def test_a_token_is_refused_where_a_login_is_required(
    method: str, path: str, body: dict[str, Any] | None, as_alice: Caller, client_with_token: Any
) -> None:
    response = client_with_token(as_alice, *ALL_BUT_ADMIN)(method, path, json=body)

    assert_problem(response, 403, "login_required")


def test_a_token_without_the_admin_scope_has_no_admin_rights(
    as_ada: Caller, as_alice: Caller, client_with_token: Any
) -> None:
    task = as_alice.post("/tasks", json={"title": "Alice's"}).json()

    assert_problem(client_with_token(as_ada, "tasks:read").get(f"/tasks/{task['id']}"), 403, "task_forbidden")
    assert client_with_token(as_ada, "tasks:read", "admin").get(f"/tasks/{task['id']}").status_code == 200
    assert client_with_token(as_ada, "admin").get("/api/v1/users").status_code == 200
    assert_problem(client_with_token(as_ada, "tasks:read").get("/api/v1/users"), 403, "scope_missing")


def test_only_an_admin_creates_a_token_with_the_admin_scope(as_alice: Caller) -> None:
    response = as_alice.post("/api/v1/auth/tokens", json={"name": "x", "scopes": ["admin"]})

    assert [error["field"] for error in assert_problem(response, 422, "invalid")["errors"]] == ["scopes"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "scopes": ["tasks:read"]}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["everything"]}, "scopes.0"),
        ({"name": "x", "scopes": ["tasks:read"], "expires_in_days": 366}, "expires_in_days"),
    ],
)
def test_invalid_fields_are_named(body: dict[str, Any], field: str, as_alice: Caller) -> None:
    problem = assert_problem(as_alice.post("/api/v1/auth/tokens", json=body), 422, "invalid")

    assert [error["field"] for error in problem["errors"]] == [field]


def test_only_the_owner_revokes_a_token_and_it_is_refused_immediately(
    as_alice: Caller, as_mallory: Caller, live_server: LiveServer
) -> None:
    made = make(as_alice, "tasks:read")
    caller = Caller(live_server.url, made["token"])
    path = f"/api/v1/auth/tokens/{made['id']}"
    assert caller.get("/tasks").status_code == 200

    assert_problem(as_mallory.delete(path), 404, "token_not_found")
    assert as_alice.delete(path).status_code == 204

    assert_problem(caller.get("/tasks"), 401, "session_revoked")
    assert as_alice.get("/api/v1/auth/tokens").json() == []


def test_sessions_and_tokens_are_listed_and_deleted_separately(as_alice: Caller, alice: Actor) -> None:
    made = make(as_alice, "tasks:read")

    assert [session["id"] for session in as_alice.get("/auth/sessions").json()] == [alice.session_id]
    assert_problem(as_alice.delete(f"/auth/sessions/{made['id']}"), 404, "session_not_found")
    assert_problem(as_alice.delete(f"/api/v1/auth/tokens/{alice.session_id}"), 404, "token_not_found")


def test_the_time_of_last_use_is_stored(as_alice: Caller, client_with_token: Any) -> None:
    caller = client_with_token(as_alice, "tasks:read")
    before = as_alice.get("/api/v1/auth/tokens").json()[0]["last_used_at"]
    caller.get("/tasks")

    assert before is None
    assert as_alice.get("/api/v1/auth/tokens").json()[0]["last_used_at"] is not None


def test_a_forged_token_is_refused(as_alice: Caller, live_server: LiveServer) -> None:
    token = make(as_alice, "tasks:read")["token"]

    for forged in (token[:-1], token.replace(".", "1.", 1), "allweather_pat_", "allweather_pat_1.1.x"):
        assert_problem(Caller(live_server.url, forged).get("/tasks"), 401, "token_invalid")


def test_a_socket_needs_the_scope_for_events(as_alice: Caller, live_server: LiveServer) -> None:
    url = f"ws://127.0.0.1:{live_server.port}/ws"
    good, bad = (make(as_alice, scope)["token"] for scope in ("events:read", "tasks:read"))

    with connect(url, additional_headers={"Authorization": f"Bearer {good}"}) as socket:
        assert '"ready"' in str(socket.recv(timeout=10))
    with pytest.raises(InvalidStatus):
        connect(url, additional_headers={"Authorization": f"Bearer {bad}"})


def test_a_repeated_request_neither_makes_another_token_nor_shows_the_first_again(as_alice: Caller) -> None:
    def post() -> Any:
        body = {"name": "a program", "scopes": ["tasks:read"]}
        return as_alice.post("/api/v1/auth/tokens", json=body, headers={"Idempotency-Key": "token-1"})

    first, again = post(), post()

    assert first.json()["token"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json() | {"token": None}
    assert len(as_alice.get("/api/v1/auth/tokens").json()) == 1
    (kept,) = execute("SELECT document FROM idempotency_keys").fetchone()
    assert first.json()["token"] not in kept
