"""What applies to every request: its id, its log line, security headers and cross-origin rules."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from tests.api.callers import Caller, LiveServer
from tests.polling import wait_until

ORIGIN = "https://app.example.com"


def test_a_valid_request_id_is_kept_and_others_are_replaced(anybody: Caller) -> None:
    kept = anybody.get("/health", headers={"X-Request-ID": "abc-123_x.y"})
    made = [
        anybody.get("/health", headers=headers).headers["X-Request-ID"]
        for headers in ({}, {"X-Request-ID": "no spaces"}, {"X-Request-ID": "x" * 129}, {"X-Request-ID": "☔".encode()})
    ]

    assert kept.headers["X-Request-ID"] == "abc-123_x.y"
    assert len(set(made)) == 4
    assert all(len(request_id) == 32 for request_id in made)


def test_each_request_logs_one_line_with_user_route_and_duration(as_alice: Caller, alice: Actor) -> None:
    with capture_logs() as lines:
        as_alice.get("/api/v1/tasks?secret=private", headers={"X-Request-ID": "the-request"})
        wait_until(lambda: any(line["event"] == "request" for line in lines))

    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/tasks", 422)
    assert (line["user_id"], line["address"]) == (alice.user_id, "127.0.0.1")
    assert line["duration_ms"] >= 0
    assert "private" not in repr(lines)


def test_each_change_logs_one_line_with_its_user(as_alice: Caller, alice: Actor) -> None:
    with capture_logs() as lines:
        task = as_alice.post("/tasks", json={"title": "a private title"}).json()

    (line,) = [line for line in lines if line["event"] == "change"]
    assert (line["kind"], line["task_id"], line["actor_id"]) == ("task.created", task["id"], alice.user_id)
    assert "private" not in repr(lines)


def test_unknown_paths_are_not_logged(anybody: Caller) -> None:
    with capture_logs() as lines:
        anybody.get("/no/such/private-thing")
        wait_until(lambda: lines)

    assert "private-thing" not in repr(lines)


def test_every_response_has_security_headers(anybody: Caller) -> None:
    for path in ("/health", "/tasks", "/no/such/route"):
        headers = anybody.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "sandbox"} == {
            directive.strip() for directive in headers["Content-Security-Policy"].split(";")
        }
        assert "Strict-Transport-Security" not in headers
        assert "Server" not in headers


@pytest.fixture
def production(settings: Settings) -> Iterator[LiveServer]:
    changes = {"app_env": "production", "allowed_origins": (ORIGIN,), "admin_password": SecretStr("unused")}
    with LiveServer(create_app(settings.model_copy(update=changes)), is_development=False) as server:
        yield server


def test_production_sends_strict_transport_security(production: LiveServer) -> None:
    assert "max-age=" in Caller(production.url).get("/health").headers["Strict-Transport-Security"]


def test_the_method_trace_is_not_served(anybody: Caller) -> None:
    response = anybody("TRACE", "/health", headers={"X-Secret": "private"})

    assert response.status_code == 405
    assert "private" not in response.text


def test_a_listed_origin_may_call_with_credentials(production: LiveServer) -> None:
    preflight = Caller(production.url)(
        "OPTIONS",
        "/api/v1/tasks",
        headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"},
    )
    health = Caller(production.url).get("/health", headers={"Origin": ORIGIN})

    assert preflight.status_code == 204
    for response in (preflight, health):
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Vary"] == "Origin"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "RateLimit-Remaining" in health.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", "https://app.example.com.evil.example", "null"])
def test_another_origin_gets_no_cors_headers(origin: str, production: LiveServer) -> None:
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        response = Caller(production.url)(method, "/health", headers=headers)
        assert not [name for name in response.headers if name.startswith("Access-Control")]
