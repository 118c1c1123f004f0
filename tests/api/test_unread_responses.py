"""Clients that do not read their responses lose the connection, and clients that read slowly do not."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import falcon.asgi
import pytest
import requests
from falcon.asgi import Request, Response

from api.http import bodies, errors, unread_responses
from api.http.http_protocol import MAX_PIPELINED, HttpProtocol
from api.http.operation import unlisted
from api.http.places import RequestPlaces
from api.http.routing import Router
from api.http.unread_responses import ReadingWatch
from tests.api.callers import LiveServer
from tests.polling import wait_until

MIB = 1024 * 1024
PIECE = b"x" * 65536
# More than the buffers of both systems take, so that bytes wait in the process of the server.
PIECES = 512
USER_ID = 1


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Replace the fixture that empties the database, which these tests do not need."""


class Streamed:
    """Streams a large response. There is one place for such requests."""

    def __init__(self) -> None:
        self._places = RequestPlaces(1)

    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        self._places.take_for_request(USER_ID)
        resp.stream = self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield PIECE


class Whole:
    """Returns a large response in one piece."""

    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.data = PIECE * PIECES


class Small:
    """Returns a response of 20 kB. It is less than the server writes before it waits for the client."""

    def __init__(self) -> None:
        self.requests = 0

    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        self.requests += 1
        resp.data = b"x" * 20_000


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def server(small: Small) -> Iterator[LiveServer]:
    app: Any = falcon.asgi.App(router=Router())
    bodies.install(app, MIB, MIB)
    errors.install(app)
    app.add_route("/streamed", Streamed())
    app.add_route("/whole", Whole())
    app.add_route("/small", small)
    with LiveServer(app) as running:
        yield running


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_responses, "STALL_SECONDS", 0.2)


def connect(server: LiveServer, request: bytes) -> socket.socket:
    """Send a request from a client with a small buffer, which reads nothing by itself."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(15)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request)
    return connection


def get(path: str, *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET /{path} HTTP/1.1", *headers, "")).encode()


def received(connection: socket.socket, length: int) -> int:
    """Return how many bytes the client has received when it has at least `length`, or when the connection ends."""
    size = 0
    while size < length and (piece := connection.recv(65536)):
        size += len(piece)
    return size


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "request_bytes",
    [
        get("streamed"),
        get("whole"),
        get("whole", "Connection: close"),
        get("small") * (MAX_PIPELINED - 1) + get("whole"),
    ],
    ids=["streamed", "whole", "closing", "pipelined"],
)
def test_a_client_that_reads_nothing_loses_its_connection(
    request_bytes: bytes, server: LiveServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[HttpProtocol] = []
    connection_made = HttpProtocol.connection_made

    def noted(protocol: HttpProtocol, transport: asyncio.Transport) -> None:
        connection_made(protocol, transport)
        accepted.append(protocol)

    monkeypatch.setattr(HttpProtocol, "connection_made", noted)
    with connect(server, request_bytes):
        wait_until(lambda: len(accepted) == 1)
        wait_until(lambda: server.connections == 0)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.usefixtures("_impatient")
def test_a_client_that_reads_nothing_loses_its_place(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    is_watched = threading.Event()
    check = ReadingWatch._check  # noqa: SLF001 - the test decides from when on the clients are checked.

    def check_if_watched(watch: ReadingWatch) -> None:
        if is_watched.is_set():
            check(watch)
        else:
            watch._timer = watch._loop.call_later(0.01, watch._check)  # noqa: SLF001 - see above.

    def status_of_another() -> int:
        with requests.get(server.url + "/streamed", timeout=20, stream=True) as response:
            return response.status_code

    monkeypatch.setattr(ReadingWatch, "_check", check_if_watched)
    with connect(server, get("streamed")) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert status_of_another() == 429
        is_watched.set()
        wait_until(lambda: status_of_another() == 200)


@pytest.mark.parametrize("path", ["streamed", "whole"])
def test_a_client_that_reads_slowly_receives_everything(
    path: str, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    check = ReadingWatch._check  # noqa: SLF001 - the test needs to know what was found when it was called.

    def noted(watch: ReadingWatch) -> None:
        waiting.append(watch.transport.get_write_buffer_size())
        check(watch)

    monkeypatch.setattr(ReadingWatch, "_check", noted)
    monkeypatch.setattr(unread_responses, "STALL_SECONDS", 2.0)
    with connect(server, get(path, "Connection: close")) as connection:
        size = 0

        def has_been_checked_twice() -> bool:
            nonlocal size
            size += len(connection.recv(2048))
            return len(waiting) >= 2

        wait_until(has_been_checked_twice)
        assert min(waiting) > 0
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        assert size + received(connection, 2 * len(PIECE) * PIECES) > len(PIECE) * PIECES


def test_a_client_that_never_reads_does_not_fill_the_memory_with_requests(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    on_headers_complete = HttpProtocol.on_headers_complete

    def noted(protocol: HttpProtocol) -> None:
        on_headers_complete(protocol)
        lengths.append(len(protocol.pipeline))

    monkeypatch.setattr(HttpProtocol, "on_headers_complete", noted)
    with connect(server, b"") as connection, suppress(ConnectionError):
        for _ in range(200):
            connection.sendall(get("small") * 1000)
    assert max(lengths) <= MAX_PIPELINED


def test_as_many_requests_as_may_wait_are_served(server: LiveServer, small: Small) -> None:
    with connect(server, get("small") * MAX_PIPELINED + get("small", "Connection: close")) as connection:
        received(connection, (MAX_PIPELINED + 2) * len(PIECE))
    assert small.requests == MAX_PIPELINED + 1
