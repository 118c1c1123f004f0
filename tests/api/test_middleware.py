"""What surrounds every request: its id, its line in the log, security headers and cross-origin rules."""

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


def test_a_request_id_is_kept_or_made(anybody: Caller) -> None:
    kept = anybody.get("/health", headers={"X-Request-ID": "abc-123_x.y"})
    made = [
        anybody.get("/health", headers=headers).headers["X-Request-ID"]
        for headers in ({}, {"X-Request-ID": "no spaces"}, {"X-Request-ID": "x" * 129}, {"X-Request-ID": "☔".encode()})
    ]

    assert kept.headers["X-Request-ID"] == "abc-123_x.y"
    assert len(set(made)) == 4
    assert all(len(request_id) == 32 for request_id in made)


def test_one_line_a_request_with_who_what_and_how_long(as_alice: Caller, alice: Actor) -> None:
    with capture_logs() as lines:
        as_alice.get("/api/v1/tasks?secret=private", headers={"X-Request-ID": "the-request"})
        wait_until(lambda: any(line["event"] == "request" for line in lines))

    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/tasks", 422)
    assert (line["user_id"], line["address"]) == (alice.user_id, "127.0.0.1")
    assert line["duration_ms"] >= 0
    assert "private" not in repr(lines)


def test_a_change_has_a_line_with_its_author(as_alice: Caller, alice: Actor) -> None:
    with capture_logs() as lines:
        task = as_alice.post("/tasks", json={"title": "a private title"}).json()

    (line,) = [line for line in lines if line["event"] == "change"]
    assert (line["kind"], line["task_id"], line["actor_id"]) == ("task.created", task["id"], alice.user_id)
    assert "private" not in repr(lines)


def test_the_text_of_an_unknown_address_does_not_reach_the_log(anybody: Caller) -> None:
    with capture_logs() as lines:
        anybody.get("/no/such/private-thing")
        wait_until(lambda: lines)

    assert "private-thing" not in repr(lines)


def test_security_headers_stand_on_every_answer(anybody: Caller) -> None:
    for path in ("/health", "/tasks", "/no/such/route"):
        headers = anybody.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
        assert "Server" not in headers


@pytest.fixture
def production(settings: Settings) -> Iterator[LiveServer]:
    changes = {"app_env": "production", "allowed_origins": (ORIGIN,), "admin_password": SecretStr("unused")}
    with LiveServer(create_app(settings.model_copy(update=changes))) as server:
        yield server


def test_production_insists_on_tls(production: LiveServer) -> None:
    assert "max-age=" in Caller(production.url).get("/health").headers["Strict-Transport-Security"]


def test_a_listed_origin_may_call_with_credentials(production: LiveServer) -> None:
    preflight = Caller(production.url)(
        "OPTIONS",
        "/api/v1/tasks",
        headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"},
    )
    answer = Caller(production.url).get("/health", headers={"Origin": ORIGIN})

    assert preflight.status_code == 204
    for response in (preflight, answer):
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert response.headers["Vary"] == "Origin"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", "https://app.example.com.evil.example", "null"])
def test_another_origin_may_not(origin: str, production: LiveServer) -> None:
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        response = Caller(production.url)(method, "/health", headers=headers)
        assert not [name for name in response.headers if name.startswith("Access-Control")]
