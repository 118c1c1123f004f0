"""Whom a request with a token counts for, and how much of an account's allowance one token may use."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from peewee import OperationalError

from api.app import create_app
from core.config import Settings
from core.policy import Actor, Scope
from core.security import TokenIssuer
from core.services import personal_tokens, sessions
from tests.api.callers import Caller, LiveServer, assert_problem
from tests.builders import QUOTA
from tests.sql import execute

LIMIT = 10
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[LiveServer]:
    with LiveServer(create_app(settings.model_copy(update={"rate_limit": f"{LIMIT}/hour"}))) as server:
        yield server


@pytest.fixture
def owner(server: LiveServer, issuer: TokenIssuer, alice: Actor) -> Caller:
    return Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))


@pytest.fixture
def token_id(alice: Actor) -> int:
    """A personal access token of Alice."""
    return personal_tokens.create(alice, "backup", [Scope.TASKS_READ], DAY, QUOTA).id


@pytest.fixture
def program(server: LiveServer, issuer: TokenIssuer, alice: Actor, token_id: int) -> Caller:
    """The program that uses this token."""
    return Caller(server.url, issuer.personal_token(alice.user_id, token_id))


def statuses(caller: Caller, times: int, path: str = "/tasks") -> list[int]:
    return [caller.get(path).status_code for _ in range(times)]


def test_a_revoked_token_counts_for_the_address_and_not_for_its_owner(
    owner: Caller, program: Caller, alice: Actor, token_id: int
) -> None:
    personal_tokens.revoke_own(alice, token_id)

    assert statuses(program, LIMIT + 2) == [401] * LIMIT + [429] * 2
    assert statuses(owner, LIMIT) == [200] * LIMIT


def test_a_session_that_has_ended_counts_for_the_address_also_on_unknown_paths(
    server: LiveServer, owner: Caller, issuer: TokenIssuer, alice: Actor
) -> None:
    ended = sessions.open_session(alice.user_id, sessions.Client("127.0.0.1", None), DAY).session_id
    sessions.revoke_session(alice, ended)

    statuses(Caller(server.url, issuer.access_token(alice.user_id, ended)), LIMIT + 1, "/no/such/route")

    assert owner.get("/tasks").headers["RateLimit-Remaining"] == str(LIMIT - 1)


def test_a_token_of_another_account_counts_for_the_address(
    server: LiveServer, owner: Caller, issuer: TokenIssuer, alice: Actor, mallory: Actor
) -> None:
    crossed = Caller(server.url, issuer.access_token(alice.user_id, mallory.session_id))

    assert statuses(crossed, LIMIT + 1) == [401] * LIMIT + [429]
    assert owner.get("/tasks").status_code == 200


def test_an_ended_session_is_read_from_the_database_only_once(
    program: Caller, alice: Actor, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    personal_tokens.revoke_own(alice, token_id)
    reads: list[int] = []
    read = sessions.session_actor

    def counted(session_id: int) -> Actor:
        reads.append(session_id)
        return read(session_id)

    monkeypatch.setattr("core.services.sessions.session_actor", counted)

    assert statuses(program, 3) == [401] * 3
    assert reads == [token_id]


def test_a_personal_token_may_use_half_of_its_owners_allowance(owner: Caller, program: Caller) -> None:
    first = program.get("/tasks")
    rest = statuses(program, LIMIT)

    assert first.headers["RateLimit-Limit"] == str(LIMIT // 2)
    assert first.headers["RateLimit-Remaining"] == str(LIMIT // 2 - 1)
    assert rest == [200] * (LIMIT // 2 - 1) + [429] * (LIMIT // 2 + 1)
    assert statuses(owner, LIMIT) == [200] * (LIMIT // 2) + [429] * (LIMIT // 2)


def test_each_personal_token_is_counted_separately(
    server: LiveServer, program: Caller, issuer: TokenIssuer, alice: Actor
) -> None:
    statuses(program, LIMIT)
    other = personal_tokens.create(alice, "mirror", [Scope.TASKS_READ], DAY, QUOTA).id

    assert Caller(server.url, issuer.personal_token(alice.user_id, other)).get("/tasks").status_code == 200


def test_what_all_tokens_of_an_account_use_counts_together(owner: Caller, program: Caller) -> None:
    statuses(owner, LIMIT - 1)

    responses = [program.get("/tasks") for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 429]
    assert responses[0].headers["RateLimit-Limit"] == str(LIMIT)
    assert responses[0].headers["RateLimit-Remaining"] == "0"


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/logout_all"])
def test_one_can_log_out_when_another_session_has_used_up_the_allowance(
    path: str, server: LiveServer, owner: Caller, issuer: TokenIssuer, alice: Actor
) -> None:
    stolen = sessions.open_session(alice.user_id, sessions.Client("127.0.0.1", None), DAY).session_id
    statuses(Caller(server.url, issuer.access_token(alice.user_id, stolen)), LIMIT + 1)
    assert owner.get("/tasks").status_code == 429

    assert owner.post(path).status_code == 204


@pytest.mark.parametrize("path", ["/auth/sessions/{}", "/api/v1/auth/tokens/{}"])
def test_one_can_end_the_session_that_has_used_up_the_allowance(path: str, owner: Caller, alice: Actor) -> None:
    if "tokens" in path:
        stolen = personal_tokens.create(alice, "stolen", [Scope.TASKS_READ], DAY, QUOTA).id
    else:
        stolen = sessions.open_session(alice.user_id, sessions.Client("127.0.0.1", None), DAY).session_id
    statuses(owner, LIMIT + 1)

    assert owner.delete(path.format(stolen)).status_code == 204


def test_requests_that_end_sessions_are_limited_too(owner: Caller) -> None:
    responses = [owner.delete("/auth/sessions/999999999") for _ in range(LIMIT + 1)]

    assert [response.status_code for response in responses] == [404] * LIMIT + [429]
    assert_problem(responses[-1], 429, "rate_limited")


def test_a_disabled_account_is_counted_by_address(owner: Caller, alice: Actor, program: Caller) -> None:
    execute("UPDATE users SET is_active = false WHERE id = %s", (alice.user_id,))

    assert statuses(owner, LIMIT + 1) == [401] * LIMIT + [429]
    assert statuses(program, 1) == [429]


def test_without_the_database_requests_count_for_the_address_and_get_503(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_session_id: int) -> Actor:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr("core.services.sessions.session_actor", fail)
        responses = [owner.get("/tasks") for _ in range(LIMIT + 1)]
        alive = owner.get("/health")

    assert_problem(responses[0], 503, "database_unavailable")
    assert_problem(responses[-1], 429, "rate_limited")
    assert alive.status_code == 200
    assert statuses(owner, LIMIT) == [200] * LIMIT


def test_without_redis_a_token_has_the_same_share(
    settings: Settings, issuer: TokenIssuer, alice: Actor, token_id: int, unused_tcp_port: int
) -> None:
    nowhere = type(settings.redis_url)(f"redis://127.0.0.1:{unused_tcp_port}/0")
    alone = settings.model_copy(update={"rate_limit": f"{LIMIT}/hour", "redis_url": nowhere})
    with LiveServer(create_app(alone)) as server:
        program = Caller(server.url, issuer.personal_token(alice.user_id, token_id))
        owner = Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))

        assert statuses(program, LIMIT) == [200] * (LIMIT // 2) + [429] * (LIMIT // 2)
        assert statuses(owner, LIMIT) == [200] * (LIMIT // 2) + [429] * (LIMIT // 2)
