"""The rate limit for each user and each address, on every route, with and without Redis."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.app import create_app
from api.http.request_counters import Bucket, Demand, LocalCounter
from core.config import Settings
from core.local.embedded.servers import EmbeddedRedis
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem

LIMIT = 5
LIMITS = {"rate_limit": f"{LIMIT}/hour", "rate_limit_credentials": "2/hour", "rate_limit_health": "50/hour"}


@pytest.fixture(scope="module")
def strict(settings: Settings) -> Settings:
    return settings.model_copy(update=LIMITS)


@pytest.fixture(scope="module")
def server(strict: Settings) -> Iterator[LiveServer]:
    with LiveServer(create_app(strict)) as server:
        yield server


def caller(server: LiveServer, issuer: TokenIssuer, actor: Actor) -> Caller:
    return Caller(server.url, issuer.access_token(actor.user_id, actor.session_id))


def test_every_response_has_the_rate_limit_headers(server: LiveServer, issuer: TokenIssuer, alice: Actor) -> None:
    as_alice = caller(server, issuer, alice)

    remaining = []
    for path in ("/tasks", "/api/v1/tasks", "/no/such/route", "/tasks/999999", "/docs"):
        response = as_alice.get(path)
        assert response.headers["RateLimit-Limit"] == str(LIMIT)
        assert 0 < int(response.headers["RateLimit-Reset"]) <= 3600
        remaining.append(int(response.headers["RateLimit-Remaining"]))

    assert remaining == [4, 3, 2, 1, 0]


def test_requests_over_the_limit_get_429_with_retry_after(
    server: LiveServer, issuer: TokenIssuer, alice: Actor
) -> None:
    as_alice = caller(server, issuer, alice)
    for _ in range(LIMIT):
        assert as_alice.get("/tasks").status_code == 200

    refused = as_alice.get("/tasks")

    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
    assert refused.headers["RateLimit-Remaining"] == "0"


def test_a_refused_request_is_logged_with_its_route(server: LiveServer, issuer: TokenIssuer, alice: Actor) -> None:
    as_alice = caller(server, issuer, alice)
    for _ in range(LIMIT):
        as_alice.get("/tasks")

    with capture_logs() as logs:
        as_alice.get("/api/v1/tasks/7")
        as_alice.get("/no/such/route")

    routes = [(line["route"], line["status"]) for line in logs if line["event"] == "request"]
    assert routes == [("/api/v1/tasks/{task_id:id}", 429), ("unknown", 429)]


def test_users_with_the_same_address_are_counted_separately(
    server: LiveServer, issuer: TokenIssuer, alice: Actor, bob: Actor
) -> None:
    for _ in range(LIMIT + 1):
        caller(server, issuer, alice).get("/tasks")

    assert caller(server, issuer, bob).get("/tasks").status_code == 200


def test_requests_with_invalid_tokens_are_counted_by_address(server: LiveServer) -> None:
    statuses = [Caller(server.url, f"made-up-{number}").get("/tasks").status_code for number in range(LIMIT + 1)]

    assert statuses == [401] * LIMIT + [429]


def test_all_credential_paths_share_a_lower_limit(server: LiveServer) -> None:
    anybody = Caller(server.url)
    paths = ["/auth/login", "/api/v1/auth/login/", "/auth/register", "/user/", "/login"]

    statuses = [anybody.post(path, json={}).status_code for path in paths]

    assert statuses == [422, 422, 429, 429, 429]


def test_addresses_of_one_ipv6_network_are_counted_together(strict: Settings) -> None:
    behind_proxy = strict.model_copy(update={"trusted_proxies": ("127.0.0.1",)})
    with LiveServer(create_app(behind_proxy)) as server:

        def log_in_from(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return Caller(server.url).post("/auth/login", json={}, headers=headers).status_code

        statuses = [log_in_from(f"2001:db8:1:2::{number}") for number in range(3)]
        elsewhere = log_in_from("2001:db8:1:3::1")

    assert statuses == [422, 422, 429]
    assert elsewhere == 422


@pytest.mark.parametrize("path", ["//auth/login", "///api/v1/auth/register", "//user"])
def test_additional_slashes_in_a_path_do_not_avoid_the_limit(server: LiveServer, path: str) -> None:
    statuses = []
    for _ in range(3):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        with closing(connection):
            connection.request("POST", path, body=b"{}", headers={"Content-Type": "application/json"})
            statuses.append(connection.getresponse().status)

    assert statuses == [422, 422, 429]


def test_websocket_handshakes_are_counted(server: LiveServer, issuer: TokenIssuer, alice: Actor) -> None:
    as_alice = caller(server, issuer, alice)
    for _ in range(LIMIT - 1):
        as_alice.get("/tasks")
    headers = {"Authorization": f"Bearer {as_alice.token}"}
    with connect(f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, open_timeout=20):
        pass

    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, open_timeout=20),
    ):
        pytest.fail("The handshake went through.")

    assert refused.value.response.status_code == 403


def test_the_local_counter_starts_again_in_the_next_window() -> None:
    counter = LocalCounter()

    def count(keys: str, window: int, seconds: int, requests: int = 1) -> tuple[int, list[int]]:
        buckets = tuple(Bucket(key, 2, seconds) for key in keys)
        return counter.count(Demand(buckets, window, weight=1), requests)

    counts = [
        count(keys, window, seconds)
        for keys, window, seconds in (("a", 1, 60), ("a", 1, 60), ("ab", 1, 60), ("b", 1, 60), ("a", 1, 3600))
    ]

    assert counts == [(1, [1]), (1, [2]), (0, [2, 0]), (1, [1]), (1, [1])]
    assert count("a", 2, 60, requests=5) == (2, [2])
    assert count("a", 1, 3600) == (1, [2])


def test_health_requests_have_their_own_limit(server: LiveServer) -> None:
    anybody = Caller(server.url)

    responses = [anybody.get("/health") for _ in range(LIMIT + 1)]

    assert {response.status_code for response in responses} == {200}
    assert responses[-1].headers["RateLimit-Limit"] == "50"


def test_each_process_counts_health_requests_for_itself_without_redis(strict: Settings) -> None:
    few = strict.model_copy(update={"rate_limit_health": "2/hour"})
    with LiveServer(create_app(few)) as first, LiveServer(create_app(few)) as second:
        refused = [Caller(first.url).get("/health") for _ in range(3)][-1]

        assert_problem(refused, 429, "rate_limited")
        assert Caller(second.url).get("/health").headers["RateLimit-Remaining"] == "1"
    with Redis.from_url(strict.redis_url.get_secret_value()) as redis:
        assert redis.keys("*health*") == []


def test_processes_share_the_count(strict: Settings, issuer: TokenIssuer, alice: Actor) -> None:
    with LiveServer(create_app(strict)) as first, LiveServer(create_app(strict)) as second:
        for server in (first, second, first, second, first):
            assert caller(server, issuer, alice).get("/tasks").status_code == 200

        assert caller(second, issuer, alice).get("/tasks").status_code == 429


def test_without_redis_each_process_counts_separately_and_logs_it_once(
    strict: Settings, issuer: TokenIssuer, alice: Actor, unused_tcp_port: int
) -> None:
    alone = strict.model_copy(update={"redis_url": type(strict.redis_url)(f"redis://127.0.0.1:{unused_tcp_port}/0")})
    with capture_logs() as lines, LiveServer(create_app(alone)) as server:
        statuses = [caller(server, issuer, alice).get("/tasks").status_code for _ in range(LIMIT + 1)]

    assert statuses == [200] * LIMIT + [429]
    assert [line["event"] for line in lines].count("rate_limit_counts_alone") == 1


def test_a_paused_redis_delays_no_request_and_is_used_again_later(
    strict: Settings, issuer: TokenIssuer, alice: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.request_counters._PAUSE_SECONDS", 0.0)
    with EmbeddedRedis(tmp_path, durable=False) as other:
        own = strict.model_copy(update={"redis_url": type(strict.redis_url)(other.url)})
        with capture_logs() as lines, LiveServer(create_app(own)) as server, Redis.from_url(other.url) as redis:
            as_alice = caller(server, issuer, alice)
            redis.execute_command("CLIENT", "PAUSE", "2000", "ALL")
            statuses = [as_alice.get("/tasks").status_code for _ in range(2)]
            redis.ping()
            statuses.append(as_alice.get("/tasks").status_code)

    assert statuses == [200, 200, 200]
    events = [line["event"] for line in lines if line["event"].startswith("rate_limit")]
    assert events == ["rate_limit_counts_alone", "rate_limit_shared_again"]
