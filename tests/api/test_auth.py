"""A session that ends in one process is dead in all of them, and nobody learns from the time a login takes."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import create_app
from core import security
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from core.services import publication, sessions
from tests.api.callers import Caller, LiveServer
from tests.builders import PASSWORD
from tests.polling import wait_until


@pytest.fixture
def elsewhere(settings: Settings) -> Iterator[LiveServer]:
    """Another process as far as sessions go: it would believe in one it has seen for an hour."""
    with LiveServer(create_app(settings.model_copy(update={"session_cache_seconds": 3600.0}))) as server:
        yield server


def publish(redis: Redis) -> None:
    publication.publish(redis, 10_000, lambda _job: None)


@pytest.mark.parametrize("ending", ["logout", "logout_all", "replay", "password"])
def test_an_ended_session_is_dead_in_every_process(
    ending: str, as_alice: Caller, alice: Actor, elsewhere: LiveServer, issuer: TokenIssuer, redis: Redis
) -> None:
    other = sessions.open_session(alice.user_id, sessions.Client(None, None), timedelta(days=1))
    victim = other.session_id if ending == "password" else alice.session_id
    token = issuer.access_token(alice.user_id, victim)
    there = Caller(elsewhere.url, token)
    assert there.get("/auth/me").status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://127.0.0.1:{elsewhere.port}/ws", additional_headers=headers) as socket:
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

        wait_until(lambda: there.get("/auth/me").status_code == 401)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_a_name_that_nobody_has_costs_as_much_as_a_wrong_password(
    settings: Settings, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of refusal runs bcrypt once, with the same rounds; nearly all of the time goes there."""
    checked: list[str] = []
    verify = security.verify_password

    def note(password: str, password_hash: str) -> bool:
        checked.append(password_hash[:7])
        return verify(password, password_hash)

    monkeypatch.setattr(security, "verify_password", note)
    with LiveServer(create_app(settings)) as server:
        for name in ("alice", "nobody"):
            Caller(server.url).post("/auth/login", json={"username": name, "password": "a wrong guess"})

    assert len(checked) == 2
    assert checked[0] == checked[1]
