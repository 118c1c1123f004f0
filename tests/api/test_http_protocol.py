"""Requests that are too large or too slow for the server, and clients that do not speak HTTP/1.1 properly."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import falcon.asgi
import pytest
import requests
from falcon.asgi import Request, Response

from api.http import bodies, errors, http_protocol
from api.http.http_protocol import MAX_HEAD_BYTES, MAX_HEADERS, Deadlines, HttpProtocol
from api.http.operation import unlisted
from api.http.routing import Router
from tests.api.callers import LiveServer
from tests.polling import wait_until

MIB = 1024 * 1024
BAD_HEAD = {"too many bytes": b"X: " + b"x" * MAX_HEAD_BYTES, "too many headers": b"A: b\r\n" * (MAX_HEADERS + 1)}


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Replace the fixture that empties the database, which these tests do not need."""


class Echo:
    """POST returns the number of bytes of the body, PUT refuses the body without reading it."""

    def __init__(self) -> None:
        self.requests = 0
        self.released = threading.Event()

    @unlisted
    async def on_post(self, req: Request, resp: Response) -> None:
        self.requests += 1
        if req.get_header("X-Wait"):
            await asyncio.to_thread(self.released.wait)
        size = 0
        async for chunk in req.stream:
            size += len(chunk)
        resp.media = size

    @unlisted
    async def on_put(self, _req: Request, resp: Response) -> None:
        self.requests += 1
        resp.status = 403

    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        self.requests += 1
        resp.media = "ready"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def app(echo: Echo) -> Any:
    app: Any = falcon.asgi.App(router=Router())
    bodies.install(app, MIB, MIB)
    errors.install(app)
    app.add_route("/echo", echo)
    return app


@pytest.fixture
def server(app: Any) -> Iterator[LiveServer]:
    with LiveServer(app) as running:
        yield running


@pytest.fixture
def impatient(app: Any) -> Iterator[LiveServer]:
    """A server that waits a short time for what remains of a request."""
    with LiveServer(app, Deadlines(head=0.2, body=120, stall=0.2)) as running:
        yield running


def connect(server: LiveServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(15)
    return connection


def received(connection: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    everything = b""
    while piece := connection.recv(65536):
        everything += piece
    return everything


def assert_problem(response: bytes, status: int, code: str) -> None:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), response
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert f"x-request-id: {document['request_id']}".encode() in head
    assert b"connection: close" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"content-security-policy: default-src 'none';" in head
    assert head.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("lines", BAD_HEAD.values(), ids=BAD_HEAD)
def test_a_head_that_is_too_large_gets_431_before_it_is_complete(lines: bytes, server: LiveServer, echo: Echo) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: test\r\n" + lines)
        assert_problem(received(connection), 431, "head_too_large")
    assert echo.requests == 0


def test_a_url_that_is_too_long_gets_431(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /" + b"x" * MAX_HEAD_BYTES)
        assert_problem(received(connection), 431, "head_too_large")


def test_the_largest_head_is_served(server: LiveServer) -> None:
    head = b"GET /echo HTTP/1.1\r\nConnection: close\r\n" + b"A: b\r\n" * (MAX_HEADERS - 2) + b"X: "
    head += b"x" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
    assert len(head) == MAX_HEAD_BYTES
    for pieces in ([head], [head[:100], head[100:]]):
        with connect(server) as connection:
            for piece in pieces:
                connection.sendall(piece)
            assert received(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_sends_megabytes_of_headers_still_reads_the_refusal(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\n" + b"A: b\r\n" * (MIB // 6))
        connection.shutdown(socket.SHUT_WR)
        assert_problem(received(connection), 431, "head_too_large")


def test_the_second_request_of_a_connection_has_the_same_limits(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /echo HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES)
        assert_problem(received(connection), 431, "head_too_large")


@pytest.mark.parametrize("lines", BAD_HEAD.values(), ids=BAD_HEAD)
def test_trailers_have_the_same_limits_as_headers(lines: bytes, server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + 2 * lines)
        assert_problem(received(connection), 431, "head_too_large")


def test_bodies_and_requests_in_one_piece_are_served(server: LiveServer) -> None:
    post = b"POST /echo HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with connect(server) as connection:
        connection.sendall(post + post + b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n")
        responses = received(connection)
    assert responses.count(b"HTTP/1.1 200") == 3
    assert responses.count(b"100000") == 2


@pytest.mark.parametrize("start", [b"GET /echo HTTP/1.1\r\nHost: te", b"G", b"\r\n"])
def test_a_head_that_does_not_end_gets_408(start: bytes, impatient: LiveServer, echo: Echo) -> None:
    with connect(impatient) as connection:
        connection.sendall(start)
        assert_problem(received(connection), 408, "request_timeout")
    assert echo.requests == 0


def test_a_connection_without_a_request_is_closed(impatient: LiveServer) -> None:
    with connect(impatient) as connection:
        assert received(connection) == b""


@pytest.mark.parametrize("start", [b"GET /echo", b"\r\n"])
def test_a_second_head_that_does_not_end_gets_408(start: bytes, impatient: LiveServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(start)
        assert_problem(received(connection), 408, "request_timeout")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 100000\r\n\r\nxxx",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n",
        b"Content-Length: 9\r\n\r\n",
    ],
)
def test_a_body_that_stalls_gets_408(head: bytes, impatient: LiveServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\n" + head)
        assert_problem(received(connection), 408, "request_timeout")


def test_a_body_that_arrives_for_too_long_gets_408(app: Any) -> None:
    with LiveServer(app, Deadlines(head=10, body=0.3, stall=0.1)) as server, connect(server) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.setblocking(False)
        responses: list[bytes] = []

        def is_refused() -> bool:
            try:
                responses.append(connection.recv(65536))
            except BlockingIOError:
                connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
                return False
            return True

        wait_until(is_refused)
        assert_problem(responses[0], 408, "request_timeout")


def test_the_deadline_of_the_head_does_not_end_in_the_body(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[tuple[float, asyncio.TimerHandle | None]] = []
    check_after = HttpProtocol._check_after  # noqa: SLF001 - the test needs to know which deadlines are started.

    def noted(protocol: HttpProtocol, seconds: float) -> None:
        check_after(protocol, seconds)
        timers.append((seconds, protocol._timer))  # noqa: SLF001 - see above.

    monkeypatch.setattr(HttpProtocol, "_check_after", noted)
    with LiveServer(app, Deadlines(head=30, body=120, stall=20)) as server, connect(server) as connection:
        wait_until(lambda: [seconds for seconds, _ in timers] == [30])
        connection.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf")
        wait_until(lambda: [seconds for seconds, _ in timers] == [30, 20])
        (_, of_head), (_, of_body) = timers
        assert of_head is not None
        assert of_head.cancelled()
        assert of_body is not None
        assert not of_body.cancelled()
        connection.sendall(b"half")

        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_send_the_body_of_a_refused_request_is_disconnected(impatient: LiveServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"PUT /echo HTTP/1.1\r\nContent-Length: 100000\r\n\r\nx")
        response = received(connection)
    assert response.startswith(b"HTTP/1.1 403")
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("announced", [False, True])
def test_no_more_than_a_mebibyte_of_an_unwanted_body_is_read(
    announced: bool, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes: list[int] = []
    data_received = HttpProtocol.data_received

    def counted(protocol: HttpProtocol, data: bytes) -> None:
        read_bytes.append(len(data))
        data_received(protocol, data)

    monkeypatch.setattr(HttpProtocol, "data_received", counted)
    length = b"Content-Length: 67108864" if announced else b"Transfer-Encoding: chunked"
    piece = b"x" * MIB if announced else b"100000\r\n" + b"x" * MIB + b"\r\n"
    with connect(server) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"PUT /echo HTTP/1.1\r\n" + length + b"\r\n\r\n")
            for _ in range(64):
                connection.sendall(piece)
        response = received(connection)
        wait_until(lambda: server.connections == 0)
    assert response.startswith(b"HTTP/1.1 403")
    assert sum(read_bytes) < 2 * MIB


def test_a_connection_is_kept_after_a_short_unwanted_body(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"PUT /echo HTTP/1.1\r\nContent-Length: 1000001\r\n\r\nx")
        assert connection.recv(65536).startswith(b"HTTP/1.1 403")
        connection.sendall(b"x" * 1_000_000 + b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 200")


def test_half_sent_requests_do_not_stay_open(impatient: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_LINGER_SECONDS", 0.1)
    with ExitStack() as stack:
        for start in (b"GET /echo HTTP/1.1\r\n", b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\n"):
            for _ in range(50):
                stack.enter_context(connect(impatient)).sendall(start)
        assert requests.get(impatient.url + "/echo", timeout=10).json() == "ready"
        wait_until(lambda: impatient.connections == 0)


def test_a_client_does_not_count_as_stalled_while_the_server_does_not_read(
    impatient: LiveServer, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[bool] = []
    is_server_slow = HttpProtocol._is_server_slow  # noqa: SLF001 - the test needs to know when it was called.

    def noted(protocol: HttpProtocol) -> bool:
        checks.append(is_server_slow(protocol))
        return checks[-1]

    monkeypatch.setattr(HttpProtocol, "_is_server_slow", noted)
    with connect(impatient) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 230000\r\nX-Wait: yes\r\n\r\n" + b"x" * 100_000)
        wait_until(lambda: echo.requests)
        try:
            # Falcon has read the first piece in advance, so only this one stays in the server's buffer.
            connection.sendall(b"x" * 100_000)
            wait_until(lambda: checks.count(True) > 1)
            connection.sendall(b"x" * 30_000)
        finally:
            echo.released.set()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("line", [b"GET /echo", b"GET /echo HTTP/0.9", b"GET /echo HTTP/2.0", b"nonsense"])
def test_other_protocols_get_400_and_leave_no_traceback(
    line: bytes, server: LiveServer, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(server) as connection:
        connection.sendall(line + b"\r\n\r\n")
        assert_problem(received(connection), 400, "bad_request")
    assert echo.requests == 0
    assert not [record for record in caplog.records if record.exc_info]
