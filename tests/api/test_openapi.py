"""The API description of the real app: it is complete, and the responses of the API match it."""

import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import requests

from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller
from tests.builders import PASSWORD

PUBLIC = {
    "/auth/register", "/auth/login", "/auth/refresh", "/health", "/health/ready", "/user", "/login",
    "/notifications/unsubscribe", "/auth/email/verify", "/auth/password/forgot", "/auth/password/reset",
    "/auth/invitation",
}  # fmt: skip


@pytest.fixture
def document(anybody: Caller) -> dict[str, Any]:
    found: dict[str, Any] = anybody.get("/openapi.json").json()
    return found


def test_all_required_routes_are_described(document: dict[str, Any]) -> None:
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}

    for prefix in ("", "/api/v1"):
        assert {
            f"POST {prefix}/auth/register",
            f"POST {prefix}/auth/login",
            f"POST {prefix}/auth/refresh",
            f"POST {prefix}/auth/logout",
            f"POST {prefix}/auth/logout_all",
            f"GET {prefix}/auth/sessions",
            f"POST {prefix}/auth/sessions",
            f"DELETE {prefix}/auth/sessions/{{session_id}}",
            f"GET {prefix}/auth/me",
            f"PATCH {prefix}/auth/me",
            f"POST {prefix}/tasks",
            f"GET {prefix}/tasks",
            f"GET {prefix}/tasks/{{task_id}}",
            f"PUT {prefix}/tasks/{{task_id}}",
            f"PATCH {prefix}/tasks/{{task_id}}",
            f"DELETE {prefix}/tasks/{{task_id}}",
            f"GET {prefix}/analytics",
        } <= described
    assert {"GET /health", "GET /health/ready", "POST /api/v1/ws/tickets", "GET /api/v1/users/about_me"} <= described


def test_operations_that_are_not_public_require_a_token(document: dict[str, Any], anybody: Caller) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.removeprefix("/api/v1") in PUBLIC:
                assert not operation.get("security")
                continue
            assert operation["security"]
            assert "401" in operation["responses"]
            concrete = re.sub(r"\{\w+\}", "1", path)
            assert anybody(method.upper(), concrete).status_code == 401, (method, path)


def resolved(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the document to which `$ref` refers."""
    for part in described.get("$ref", "#").split("/")[1:]:
        described = document = document[part]
    return described


@pytest.fixture
def matches(document: dict[str, Any]) -> Callable[[requests.Response, str, str], None]:
    """Return a function that checks a response against the document."""

    def check(response: requests.Response, method: str, path: str) -> None:
        described = resolved(document, document["paths"][path][method]["responses"][str(response.status_code)])
        media_type = response.headers["Content-Type"].partition(";")[0]
        schema = described["content"][media_type]["schema"]
        jsonschema.Draft202012Validator(schema | {"components": document["components"]}).validate(response.json())
        for header in described["headers"]:
            assert header in response.headers, (method, path, header)

    return check


def test_responses_match_the_document(
    matches: Callable[[requests.Response, str, str], None],
    as_alice: Caller,
    as_mallory: Caller,
    anybody: Caller,
    alice: Actor,
    issuer: TokenIssuer,
) -> None:
    one = "/api/v1/tasks/{task_id}"
    created = as_alice.post("/api/v1/tasks", json={"title": "x", "city": "London"})
    path = f"/api/v1/tasks/{created.json()['id']}"
    matches(created, "post", "/api/v1/tasks")
    matches(as_alice.get(path), "get", one)
    matches(as_alice.patch(path, json={"status": "done"}), "patch", one)
    matches(as_alice.put(path, json={"title": "y"}), "put", one)
    matches(as_alice.put(path, json={}), "put", one)
    matches(as_mallory.get(path), "get", one)
    matches(as_alice.get("/api/v1/tasks/999999999"), "get", one)
    matches(as_alice.get("/api/v1/tasks"), "get", "/api/v1/tasks")
    matches(as_alice.get("/tasks"), "get", "/tasks")
    matches(as_alice.get("/api/v1/tasks?limit=0"), "get", "/api/v1/tasks")
    matches(as_alice.post("/tasks", data="{", headers={"Content-Type": "application/json"}), "post", "/tasks")
    matches(as_alice.post("/tasks", data="{}", headers={"Content-Type": "text/plain"}), "post", "/tasks")
    matches(anybody.get("/tasks"), "get", "/tasks")
    matches(as_alice.get("/analytics"), "get", "/analytics")
    account = {"email": "new@example.com", "password": PASSWORD}
    matches(anybody.post("/auth/register", json=account), "post", "/auth/register")
    matches(anybody.post("/auth/register", json=account), "post", "/auth/register")
    matches(anybody.post("/auth/login", json=account), "post", "/auth/login")
    matches(anybody.post("/auth/login", json=account | {"password": "wrong"}), "post", "/auth/login")
    token = issuer.refresh_token(alice.session_id, 0)
    matches(anybody.post("/auth/refresh", json={"refresh_token": token}), "post", "/auth/refresh")
    matches(as_alice.get("/auth/me"), "get", "/auth/me")
    matches(as_alice.get("/auth/sessions"), "get", "/auth/sessions")
    matches(as_alice.post("/api/v1/ws/tickets"), "post", "/api/v1/ws/tickets")
    matches(anybody.get("/health"), "get", "/health")
    matches(anybody.get("/health/ready"), "get", "/health/ready")


def test_the_routes_of_earlier_clients_are_marked(anybody: Caller) -> None:
    document = anybody.get("/openapi.json").json()
    marked = {
        path: {operation.get("deprecated", False) for operation in methods.values()}
        for path, methods in document["paths"].items()
    }

    assert {path for path, marks in marked.items() if marks == {False}} == {
        path for path in marked if path.startswith("/api/v1/") or path in {"/health", "/health/ready"}
    }
    assert all(marked[path] == {True} for path in ("/task", "/tasks", "/login", "/auth/login", "/analytics"))
