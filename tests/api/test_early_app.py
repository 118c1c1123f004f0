"""A request gets its response as soon as its head is complete, if its body is not needed."""

import socket

import pytest

from tests.api.callers import LiveServer

HEAD = b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("body", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"], ids=["length", "chunked"])
def test_a_stranger_is_refused_before_the_body_is_sent(body: bytes, live_server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(HEAD + body + b"\r\n\r\n")

        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_the_connection_ends_if_the_client_was_not_asked_for_the_body(live_server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        response = b"".join(iter(lambda: connection.recv(65536), b""))

    assert response.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in response


def test_the_connection_stays_open_for_a_body_that_is_sent_after_the_refusal(live_server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 4\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"null" + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
