"""Access tokens: invalid ones are refused, and a session that ended in one process is refused by all processes."""

from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest
from pydantic import SecretStr
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from core.services import sessions
from tests.api.callers import Caller, LiveServer, assert_problem
from tests.api.realtime import publish
from tests.builders import PASSWORD
from tests.polling import wait_until


@pytest.fixture
def other_server(settings: Settings) -> Iterator[LiveServer]:
    """A second server with its own session cache, in which entries are valid for an hour."""
    with LiveServer(create_app(settings.model_copy(update={"session_cache_seconds": 3600.0}))) as server:
        yield server


@pytest.mark.parametrize("forged", ["garbage", "a.b.c", ""])
def test_a_malformed_token_is_refused(forged: str, anybody: Caller) -> None:
    response = anybody.get("/auth/me", headers={"Authorization": f"Bearer {forged}"})

    assert response.status_code == 401


def test_an_unsigned_token_is_refused(anybody: Caller, alice: Actor, issuer: TokenIssuer) -> None:
    claims = jwt.decode(issuer.access_token(alice.user_id, alice.session_id), options={"verify_signature": False})
    unsigned = jwt.encode(claims, None, algorithm="none")

    response = anybody.get("/auth/me", headers={"Authorization": f"Bearer {unsigned}"})

    assert_problem(response, 401, "token_invalid")


def test_a_refresh_token_is_refused_as_an_access_token(anybody: Caller, alice: Actor, issuer: TokenIssuer) -> None:
    token = issuer.refresh_token(alice.session_id, 0)

    response = anybody.get("/auth/me", headers={"Authorization": f"Bearer {token}"})

    assert_problem(response, 401, "token_invalid")


def test_a_token_with_the_session_of_another_user_is_refused(
    anybody: Caller, alice: Actor, mallory: Actor, issuer: TokenIssuer
) -> None:
    crossed = issuer.access_token(alice.user_id, mallory.session_id)

    assert anybody.get("/auth/me", headers={"Authorization": f"Bearer {crossed}"}).status_code == 401


@pytest.mark.parametrize("ending", ["logout", "logout_all", "replay", "password"])
def test_an_ended_session_is_refused_by_every_process(
    ending: str, as_alice: Caller, alice: Actor, other_server: LiveServer, issuer: TokenIssuer, redis: Redis
) -> None:
    other = sessions.open_session(alice.user_id, sessions.Client("127.0.0.1", None), timedelta(days=1))
    victim = other.session_id if ending == "password" else alice.session_id
    token = issuer.access_token(alice.user_id, victim)
    client = Caller(other_server.url, token)
    assert client.get("/auth/me").status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://127.0.0.1:{other_server.port}/ws", additional_headers=headers) as socket:
        assert '"ready"' in str(socket.recv(timeout=10))

        match ending:
            case "replay":
                for number in (0, 1, 0):
                    as_alice.post("/auth/refresh", json={"refresh_token": issuer.refresh_token(victim, number)})
            case "password":
                change = {"password": "an even better one", "current_password": PASSWORD}
                assert as_alice.patch("/auth/me", json=change).status_code == 200
            case _:
                assert as_alice.post(f"/auth/{ending}").status_code == 204
        publish(redis)

        wait_until(lambda: client.get("/auth/me").status_code == 401)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_without_redis_an_ended_session_is_refused_when_its_cache_entry_is_too_old(
    settings: Settings, alice: Actor, issuer: TokenIssuer, unused_tcp_port: int
) -> None:
    """No event of the revocation arrives, so only the age of the entry bounds how long the session is accepted."""
    away = SecretStr(f"redis://127.0.0.1:{unused_tcp_port}/0")
    without_redis = settings.model_copy(update={"redis_url": away, "session_cache_seconds": 0.3})
    with LiveServer(create_app(without_redis)) as server:
        client = Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))
        assert client.get("/auth/me").status_code == 200

        sessions.revoke_session(alice, alice.session_id)

        wait_until(lambda: client.get("/auth/me").status_code == 401)
        assert_problem(client.get("/auth/me"), 401, "session_revoked")
