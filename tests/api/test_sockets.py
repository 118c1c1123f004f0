"""A single WebSocket: who may open it, its messages, and how it is closed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
import requests
from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from api.realtime import resources, ws_protocol
from core import db, events
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from core.services import sessions
from tests.api.realtime import (
    RealtimeServer,
    close_code,
    narrow_socket,
    next_frame,
    publish,
    remind,
)
from tests.polling import wait_until
from tests.sql import execute

_MANY = 600
_LARGE = 8000


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[RealtimeServer]:
    changes = {"allowed_origins": ("https://app.example.com",), "socket_queue_frames": 64}
    with RealtimeServer(settings.model_copy(update=changes)) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_listeners_left(server: RealtimeServer) -> Iterator[None]:
    """Check after each test that the server has removed all its listeners."""
    yield
    wait_until(lambda: server.listeners == 0)


def assert_refused(server: RealtimeServer, path: str = "/ws", headers: dict[str, str] | None = None) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        server.anonymous(path, additional_headers=headers)
    assert refusal.value.response.status_code == 403


def authenticate(listener: ClientConnection, token: str) -> None:
    listener.send(json.dumps({"action": "authenticate", "token": token}))


def issue_ticket(server: RealtimeServer, actor: Actor) -> str:
    response = requests.post(server.url("/api/v1/ws/tickets", "http"), headers=server.headers(actor), timeout=10)
    assert response.status_code == 201
    assert response.json().keys() == {"ticket", "expires_in"}
    return str(response.json()["ticket"])


def revoke(actor: Actor) -> None:
    sessions.revoke_session(actor, actor.session_id)


@pytest.mark.parametrize("path", ["/ws", "/ws/tasks/my-phone"])
def test_header_opens_a_socket_on_either_path(server: RealtimeServer, alice: Actor, path: str) -> None:
    with server.open(alice, path) as listener:
        assert next_frame(listener) == {"type": "ready", "seq": events.bounds().last, "user_id": alice.user_id}


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic YWxpY2U6c2VjcmV0"])
def test_bad_header_refuses_the_handshake(server: RealtimeServer, alice: Actor, header: str) -> None:
    assert_refused(server, headers={"Authorization": header})


def test_expired_token_refuses_the_handshake(server: RealtimeServer, settings: Settings, alice: Actor) -> None:
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), -60)
    token = issuer.access_token(alice.user_id, alice.session_id)
    assert_refused(server, headers={"Authorization": f"Bearer {token}"})


def test_token_of_an_ended_session_refuses_the_handshake(server: RealtimeServer, alice: Actor) -> None:
    revoke(alice)
    assert_refused(server, headers=server.headers(alice))


def test_ticket_opens_one_socket(server: RealtimeServer, alice: Actor) -> None:
    path = f"/ws?ticket={issue_ticket(server, alice)}"
    with server.anonymous(path) as listener:
        assert next_frame(listener)["user_id"] == alice.user_id
    assert_refused(server, path)


def test_ticket_used_by_many_at_once_opens_one_socket(server: RealtimeServer, alice: Actor) -> None:
    path = f"/ws?ticket={issue_ticket(server, alice)}"

    def is_opened(_: int) -> bool:
        try:
            with server.anonymous(path) as listener:
                return bool(next_frame(listener))
        except InvalidStatus:
            return False

    with ThreadPoolExecutor(10) as clients:
        assert sum(clients.map(is_opened, range(10))) == 1


def test_ticket_that_is_too_old_is_refused(server: RealtimeServer, alice: Actor) -> None:
    ticket = sessions.issue_ticket(alice, timedelta(seconds=-1), None)
    assert_refused(server, f"/ws?ticket={ticket}")


@pytest.mark.parametrize("ticket", ["", "made-up"])
def test_unknown_ticket_is_refused(server: RealtimeServer, alice: Actor, ticket: str) -> None:
    assert_refused(server, f"/ws?ticket={ticket}")


def test_ticket_of_an_ended_session_is_refused(server: RealtimeServer, alice: Actor) -> None:
    ticket = issue_ticket(server, alice)
    revoke(alice)
    assert_refused(server, f"/ws?ticket={ticket}")


def test_ticket_request_needs_a_token(server: RealtimeServer) -> None:
    assert requests.post(server.url("/api/v1/ws/tickets", "http"), timeout=10).status_code == 401


def test_first_message_authenticates_the_socket(server: RealtimeServer, alice: Actor) -> None:
    with server.anonymous() as listener:
        authenticate(listener, server.issuer.access_token(alice.user_id, alice.session_id))
        assert next_frame(listener)["user_id"] == alice.user_id


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        "[" * 10_000,
        '"authenticate"',
        '{"action": "authenticate"}',
        '{"action": "authenticate", "token": 7}',
        '{"action": "authenticate", "token": "nonsense"}',
        '{"action": "ping"}',
        b'{"action": "authenticate"}',
    ],
)
def test_bad_first_message_closes_with_4401(server: RealtimeServer, message: str | bytes) -> None:
    with server.anonymous() as listener:
        listener.send(message)
        assert close_code(listener) == 4401


def test_missing_first_message_closes_with_4401(server: RealtimeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "FIRST_MESSAGE_SECONDS", 0.05)
    with server.anonymous() as listener:
        assert close_code(listener) == 4401


def test_first_message_of_an_ended_session_closes_with_4403(server: RealtimeServer, alice: Actor) -> None:
    revoke(alice)
    with server.anonymous() as listener:
        authenticate(listener, server.issuer.access_token(alice.user_id, alice.session_id))
        assert close_code(listener) == 4403


def test_disabled_account_closes_with_4403(server: RealtimeServer, alice: Actor) -> None:
    execute("UPDATE users SET is_active = false WHERE id = %s", (alice.user_id,))
    with server.anonymous() as listener:
        authenticate(listener, server.issuer.access_token(alice.user_id, alice.session_id))
        assert close_code(listener) == 4403


def test_token_that_expires_closes_with_4401(server: RealtimeServer, settings: Settings, alice: Actor) -> None:
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), 1)
    with server.anonymous() as listener:
        authenticate(listener, issuer.access_token(alice.user_id, alice.session_id))
        assert next_frame(listener)["type"] == "ready"
        assert close_code(listener) == 4401


def test_ticket_closes_its_socket_when_the_token_that_bought_it_expires(
    server: RealtimeServer, settings: Settings, alice: Actor
) -> None:
    token = TokenIssuer(settings.secret_key.get_secret_value(), 2).access_token(alice.user_id, alice.session_id)
    url = server.url("/api/v1/ws/tickets", "http")
    bought = requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).json()
    with server.anonymous(f"/ws?ticket={bought['ticket']}") as listener:
        assert next_frame(listener)["type"] == "ready"
        assert close_code(listener) == 4401


@pytest.mark.parametrize("since", ["", "x", "-1", "%2B5", "1.5", "1_0", "%E0%A5%A7", "9" * 19, "9" * 400])
def test_since_that_is_no_number_refuses_the_handshake(server: RealtimeServer, alice: Actor, since: str) -> None:
    assert_refused(server, f"/ws?since={since}", server.headers(alice))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "https://app.example.com.evil.example"])
def test_foreign_origin_refuses_the_handshake(server: RealtimeServer, alice: Actor, origin: str) -> None:
    assert_refused(server, headers=server.headers(alice) | {"Origin": origin})


def test_own_and_allowed_origins_may_open_a_socket(server: RealtimeServer, alice: Actor) -> None:
    for origin in ("https://app.example.com", server.url("", "http")):
        with server.anonymous(additional_headers=server.headers(alice) | {"Origin": origin}) as listener:
            assert next_frame(listener)["type"] == "ready"


def test_socket_over_the_limit_per_user_closes_with_4429(
    server: RealtimeServer, settings: Settings, alice: Actor, bob: Actor
) -> None:
    with ExitStack() as opened:
        listeners = [opened.enter_context(server.listening(alice)) for _ in range(settings.sockets_per_user)]
        with server.open(alice) as one_more:
            assert close_code(one_more) == 4429
        with server.listening(bob):
            pass
        listeners[0].close()
        wait_until(lambda: server.listeners == settings.sockets_per_user - 1)
        with server.listening(alice):
            pass


def test_blocked_database_closes_with_1013(settings: Settings, alice: Actor) -> None:
    short_timeout = settings.model_copy(update={"database_timeout": 0.3})
    with RealtimeServer(short_timeout) as server, db.unit_of_work():
        execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        with server.open(alice) as listener:
            assert close_code(listener) == 1013
        with server.anonymous() as listener:
            authenticate(listener, server.issuer.access_token(alice.user_id, alice.session_id))
            assert close_code(listener) == 1013


def test_ping_gets_pong_and_other_messages_get_an_error(server: RealtimeServer, alice: Actor) -> None:
    with server.listening(alice) as listener:
        for message in ("nonsense", "[]", "{}", b"\x00\xff", '{"action": "authenticate", "token": "again"}'):
            listener.send(message)
            assert next_frame(listener)["type"] == "error"
        listener.send('{"action": "ping"}')
        assert next_frame(listener) == {"type": "pong"}


def test_message_over_64_kib_closes_with_1009(server: RealtimeServer, alice: Actor) -> None:
    with server.listening(alice) as listener:
        listener.send("x" * (64 * 1024 + 1))
        assert close_code(listener) == 1009


def test_peer_that_disconnects_without_a_close_frame_is_removed(server: RealtimeServer, alice: Actor) -> None:
    peer = server.stalled_peer(alice)
    wait_until(lambda: server.listeners == 1)
    peer.close()
    wait_until(lambda: server.listeners == 0)


def test_slow_reader_is_closed_with_4408_and_removed(server: RealtimeServer, alice: Actor, redis: Redis) -> None:
    with server.open(alice, sock=narrow_socket(server.address)) as listener:
        assert next_frame(listener)["type"] == "ready"
        remind(alice, times=_MANY, padding=_LARGE)
        publish(redis)
        # The client library reads only a few frames ahead, so from here on it does not read any more.
        wait_until(lambda: server.listeners == 0)
        assert close_code(listener) == 4408


def test_peer_that_stops_reading_is_removed_even_with_few_events(
    server: RealtimeServer, alice: Actor, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.stalled_peer(alice):
        wait_until(lambda: server.listeners == 1)
        monkeypatch.setattr(ws_protocol, "STALL_SECONDS", 0.2)
        while server.listeners and not server.unsent_bytes:
            remind(alice, times=5, padding=_LARGE)
            publish(redis)
            wait_until(lambda: server.relay.snapshot().position == events.bounds().last)
        wait_until(lambda: server.listeners == 0)


def test_shutdown_closes_with_1012_and_does_not_wait_for_peers_that_never_read(
    settings: Settings,
    alice: Actor,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ws_protocol, "STALL_SECONDS", 3600)
    monkeypatch.setattr(ws_protocol, "SHUTDOWN_SECONDS", 0.5)
    server = RealtimeServer(settings.model_copy(update={"sockets_per_user": 100, "socket_queue_frames": 10_000}))
    with ExitStack() as stack:
        stack.enter_context(server)
        peers = [stack.enter_context(server.stalled_peer(alice)) for _ in range(20)]
        wait_until(lambda: server.listeners == len(peers))
        remind(alice, times=2, padding=4 * 1024 * 1024)
        publish(redis)
        wait_until(lambda: server.relay.snapshot().position == events.bounds().last)
        with server.listening(alice) as listener:
            server.ask_to_stop()
            assert close_code(listener) == 1012
        assert server.has_stopped(30)
        assert "timeout graceful shutdown exceeded" not in caplog.text


def test_anonymous_socket_that_floods_is_aborted_and_others_go_on(server: RealtimeServer, alice: Actor) -> None:
    with server.listening(alice) as other, server.anonymous() as listener:
        with suppress(ConnectionClosed):
            while True:
                listener.ping()
        assert close_code(listener) is None
        other.send('{"action": "ping"}')
        assert next_frame(other) == {"type": "pong"}


@pytest.mark.parametrize("message", ["x", "x" * 60_000])
def test_authenticated_socket_that_floods_is_aborted(settings: Settings, alice: Actor, message: str) -> None:
    """The queue for the replies is long enough here, so that the socket is not closed as too slow before."""
    long_queue = settings.model_copy(update={"socket_queue_frames": 10_000})
    with RealtimeServer(long_queue) as server, server.listening(alice) as listener:
        with suppress(ConnectionClosed):
            while True:
                listener.send(message)
        assert close_code(listener) is None


def test_socket_that_sends_less_than_its_allowance_stays_open(server: RealtimeServer, alice: Actor) -> None:
    with server.listening(alice) as listener:
        for _ in range(200):
            listener.send('{"action": "ping"}')
            assert next_frame(listener) == {"type": "pong"}
        listener.send("x" * 60_000)
        assert next_frame(listener)["type"] == "error"


def test_sockets_without_a_token_are_few_per_address(settings: Settings, alice: Actor) -> None:
    changes = {"sockets_waiting_per_address": 2, "trusted_proxies": ("127.0.0.1",)}
    with RealtimeServer(settings.model_copy(update=changes)) as server, ExitStack() as opened:
        first, _ = [opened.enter_context(server.anonymous()) for _ in range(2)]
        assert_refused(server)
        with server.listening(alice), server.anonymous(additional_headers={"X-Forwarded-For": "192.0.2.1"}):
            pass
        authenticate(first, server.issuer.access_token(alice.user_id, alice.session_id))
        assert next_frame(first)["type"] == "ready"
        with server.anonymous():
            assert_refused(server)


def test_the_addresses_of_an_ipv6_network_have_few_sockets_without_a_token(settings: Settings) -> None:
    changes = {"sockets_waiting_per_address": 2, "trusted_proxies": ("127.0.0.1",)}
    with RealtimeServer(settings.model_copy(update=changes)) as server, ExitStack() as opened:
        for address in ("2001:db8::1", "2001:db8::2"):
            opened.enter_context(server.anonymous(additional_headers={"X-Forwarded-For": address}))
        assert_refused(server, headers={"X-Forwarded-For": "2001:db8::3"})
        with server.anonymous(additional_headers={"X-Forwarded-For": "2001:db8:0:1::1"}):
            pass


def test_sockets_without_a_token_are_few_in_all(settings: Settings) -> None:
    changes = {"sockets_waiting": 2, "trusted_proxies": ("127.0.0.1",)}
    with RealtimeServer(settings.model_copy(update=changes)) as server, ExitStack() as opened:
        for address in ("192.0.2.1", "192.0.2.2"):
            opened.enter_context(server.anonymous(additional_headers={"X-Forwarded-For": address}))
        assert_refused(server, headers={"X-Forwarded-For": "192.0.2.3"})


@pytest.mark.parametrize("database_timeout", [1.0, 10.0])
def test_client_that_leaves_before_a_refusal_leaves_no_traceback(
    settings: Settings,
    alice: Actor,
    database_timeout: float,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The refusal comes after the client has left: because of the time limit, or because the session has ended."""
    with RealtimeServer(settings.model_copy(update={"database_timeout": database_timeout})) as server:
        with db.unit_of_work():
            execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
            peer = server.silent_peer(alice)
            wait_until(lambda: not server.is_idle)
            peer.close()
            wait_until(lambda: server.open_connections == 0)
            revoke(alice)
        wait_until(lambda: server.is_idle)
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err
    assert not [record for record in caplog.records if record.exc_info]


def test_ticket_does_not_reach_the_log(
    server: RealtimeServer, alice: Actor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    ticket = issue_ticket(server, alice)
    with server.anonymous(f"/ws?ticket={ticket}") as listener:
        next_frame(listener)
    wait_until(lambda: server.listeners == 0)
    assert_refused(server, f"/ws?ticket={ticket}")
    mine = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.client")]
    output = capfd.readouterr()
    assert "socket_opened" in output.out + output.err + "".join(mine)
    assert ticket not in output.out + output.err + "".join(mine)
