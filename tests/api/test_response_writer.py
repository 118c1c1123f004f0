"""How responses are written: the bytes of head and body on the wire."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.callers import LiveServer

LENGTH_5 = (b"content-length", b"5")


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Replace the fixture that empties the database, which these tests do not need."""


class Scripted:
    """An application whose response to every request is the one that the test has set."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = [b""]
        self.status = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for number, part in enumerate(self.parts, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(self.parts)})


@pytest.fixture
def app() -> Scripted:
    return Scripted()


@pytest.fixture
def server(app: Scripted) -> Iterator[LiveServer]:
    with LiveServer(app) as running:
        yield running


def answered(server: LiveServer, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") -> bytes:
    """Send a request that ends the connection, and return all that the server sends."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("control", [b"\r\nSet-Cookie: stolen=1", b"\n", b"\r", b"\0", b"\x7f"])
def test_a_header_with_a_control_character_is_not_sent(control: bytes, app: Scripted, server: LiveServer) -> None:
    app.headers = [(b"x-name", b"value" + control), LENGTH_5]

    response = answered(server)

    assert response.startswith(b"HTTP/1.1 500 ")
    assert b"x-name" not in response


def test_a_header_may_have_a_tab_and_text_that_is_not_ascii(app: Scripted, server: LiveServer) -> None:
    app.headers, app.parts = [(b"x-name", b"a\tb\xe9"), LENGTH_5], [b"hello"]

    assert b"\r\nx-name: a\tb\xe9\r\n" in answered(server)


def test_a_body_without_a_length_is_sent_in_chunks(app: Scripted, server: LiveServer) -> None:
    app.parts = [b"hello", b"", b"world!", b""]

    head, _, body = answered(server).partition(b"\r\n\r\n")

    assert b"transfer-encoding: chunked" in head
    assert body == b"5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n"


@pytest.mark.parametrize(("status", "method"), [(204, b"GET"), (304, b"GET"), (200, b"HEAD")])
def test_a_response_without_a_body_is_its_head(status: int, method: bytes, app: Scripted, server: LiveServer) -> None:
    app.status = status

    response = answered(server, method + b" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert response.endswith(b"\r\n\r\n")
    assert response.count(b"\r\n\r\n") == 1
    assert b"transfer-encoding" not in response


def test_the_response_to_head_keeps_the_length_and_leaves_out_the_body(app: Scripted, server: LiveServer) -> None:
    app.headers, app.parts = [LENGTH_5], [b"hello"]

    response = answered(server, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert b"\r\ncontent-length: 5\r\n" in response
    assert response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("parts", [[b"hell"], [b"hello!"], [b"hello", b"!"]])
def test_a_body_of_another_length_than_announced_ends_the_connection(
    parts: list[bytes], app: Scripted, server: LiveServer
) -> None:
    app.headers, app.parts = [LENGTH_5], parts

    # This client would keep the connection, and take more bytes for the next response.
    body = answered(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")[2]

    assert len(body) <= 5


def test_an_application_that_ends_the_connection_says_so_once(app: Scripted, server: LiveServer) -> None:
    app.headers, app.parts = [(b"connection", b"close"), LENGTH_5], [b"hello"]

    response = answered(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert response.lower().count(b"connection: close") == 1
    assert response.endswith(b"hello")
