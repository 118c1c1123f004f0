"""A real server for the realtime part of the API, and helpers to send to it and to receive from it."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import falcon.asgi
import uvicorn
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.http import errors
from api.http.auth import AuthenticationMiddleware, Authenticator
from api.http.middleware import RequestContext
from api.http.resource import Services
from api.http.threads import Bridge
from api.realtime.relay import Relay
from api.realtime.resources import routes
from api.server import server_options
from core import db, events
from core.config import Settings
from core.local.embedded.servers import EmbeddedRedis
from core.policy import Actor
from core.security import TokenIssuer
from core.services import publication
from core.storage import storage_for
from core.weather import provider_for
from tests.api.callers import DEADLINES
from tests.polling import wait_until

RECEIVE_SECONDS = 15.0
STREAM_LENGTH = 10_000
# An event type without further effects on these tests: it sends no jobs and no notifications.
REMINDER = "task.reminder"


class RealtimeServer:
    """A server with the realtime routes only, in a thread of this process."""

    def __init__(self, settings: Settings, bridge_type: type[Bridge] = Bridge) -> None:
        db.configure(settings.database_url.get_secret_value(), application="realtime", statement_seconds=10)
        self.issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)
        self.bridge = bridge_type(
            database_threads=settings.database_threads,
            database_seconds=settings.database_timeout,
            password_threads=settings.password_threads,
        )
        authenticator = Authenticator(self.issuer, self.bridge, settings.session_cache_seconds)
        self.relay = Relay(settings, self.bridge, authenticator)
        services = Services(
            settings,
            self.bridge,
            authenticator,
            self.issuer,
            storage_for(settings),
            provider_for(settings),
            AsyncRedis.from_url("redis://"),
        )
        middleware: Any = [RequestContext(settings), AuthenticationMiddleware(authenticator), self]
        app: Any = falcon.asgi.App(middleware=middleware)
        errors.install(app)
        for route in routes(self.relay):
            app.add_route(route.path, route.resource(services))
        options = server_options(DEADLINES, is_development=True)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, **options)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="realtime-server")

    async def process_startup(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        self.relay.start()

    async def process_shutdown(self, _scope: dict[str, Any], _event: dict[str, Any]) -> None:
        await self.relay.stop()
        self.bridge.close()

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started and self.relay.snapshot().position is not None)
        return self

    @property
    def is_started(self) -> bool:
        """Whether the server accepts connections; the relay may still be looking for its position."""
        return self._server.started

    def __exit__(self, *_: object) -> None:
        self.ask_to_stop()
        assert self.has_stopped(30)

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def has_stopped(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.servers[0].sockets[0].getsockname()
        return host, port

    @property
    def listeners(self) -> int:
        return self.relay.snapshot().listeners

    @property
    def unsent_bytes(self) -> int:
        """The number of bytes that were written and that the peers have not read yet."""
        connections: Any = self._server.server_state.connections
        return sum(connection.transport.get_write_buffer_size() for connection in connections)

    @property
    def open_connections(self) -> int:
        """The number of connections whose client has not left."""
        return len(self._server.server_state.connections)

    @property
    def is_idle(self) -> bool:
        """Whether no request and no socket is being served."""
        return not self._server.server_state.tasks

    def url(self, path: str, scheme: str = "ws") -> str:
        host, port = self.address
        return f"{scheme}://{host}:{port}{path}"

    def headers(self, actor: Actor) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.issuer.access_token(actor.user_id, actor.session_id)}"}

    def anonymous(self, path: str = "/ws", **options: Any) -> ClientConnection:
        """Open a socket without an access token."""
        # A client with unread frames does not see the response to its close frame, so a short timeout saves time. Nor
        # does it see the responses to its pings, so it sends none: otherwise it would end the connection by itself.
        options = {"proxy": None, "close_timeout": 0.2, "ping_interval": None} | options
        listener: ClientConnection = connect(self.url(path), **options)
        return listener

    def open(self, actor: Actor, path: str = "/ws", **options: Any) -> ClientConnection:
        """Open a socket with a token in the header."""
        return self.anonymous(path, additional_headers=self.headers(actor), **options)

    @contextmanager
    def listening(self, actor: Actor, path: str = "/ws") -> Iterator[ClientConnection]:
        """Open a socket and receive its first frame."""
        with self.open(actor, path) as listener:
            assert next_frame(listener)["type"] == "ready"
            yield listener

    def stalled_peer(self, actor: Actor) -> socket.socket:
        """Open a socket of a peer that reads nothing after the first bytes of the handshake response."""
        peer = self.silent_peer(actor)
        assert peer.recv(12) == b"HTTP/1.1 101"
        return peer

    def silent_peer(self, actor: Actor) -> socket.socket:
        """Send the handshake of a socket without reading the response."""
        peer = narrow_socket(self.address)
        lines = [
            "GET /ws HTTP/1.1",
            "Host: test",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *(f"{name}: {value}" for name, value in self.headers(actor).items()),
        ]
        peer.sendall("\r\n".join([*lines, "", ""]).encode())
        return peer


def narrow_socket(address: tuple[str, int]) -> socket.socket:
    """Connect with a small receive buffer, so that the server soon notices a peer that does not read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(address)
    return peer


def next_frame(listener: ClientConnection) -> dict[str, Any]:
    """Receive the next frame and return it."""
    frame: dict[str, Any] = json.loads(listener.recv(timeout=RECEIVE_SECONDS))
    return frame


def receive_until(listener: ClientConnection, seq: int) -> list[int]:
    """Receive events until the number `seq`, and return the numbers of all of them. A resync may not be among them."""
    received: list[int] = []
    while not received or received[-1] < seq:
        frame = next_frame(listener)
        assert frame["type"] != "resync_required"
        received.append(frame["seq"])
    return received


def close_code(listener: ClientConnection) -> int | None:
    """Receive until the server closes the socket, and return the close code."""
    try:
        while True:
            listener.recv(timeout=RECEIVE_SECONDS)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


def publish(redis: Redis, stream_length: int = STREAM_LENGTH) -> int:
    """Publish the recorded events and return the number of the last one."""
    publication.publish(redis, stream_length, lambda *_: None)
    return events.bounds().last


def remind(*audience: Actor, times: int = 1, padding: int = 0) -> None:
    """Record events for these users. They are not published yet."""
    with db.unit_of_work():
        for number in range(times):
            data: dict[str, object] = {"number": number, "padding": "x" * padding}
            events.record(REMINDER, audience=[actor.user_id for actor in audience], data=data)


def kill(server: EmbeddedRedis, redis: Redis) -> None:
    """Kill a Redis server; its data are lost."""
    os.kill(redis.info("server")["process_id"], signal.SIGKILL)
    wait_until(lambda: not server.is_running())
