"""A request gets its response as soon as its head is complete, if its body is not needed."""

import socket

import pytest
from structlog.testing import capture_logs

from api.http.http_protocol import HttpProtocol
from tests.api.callers import Caller, LiveServer
from tests.polling import wait_until

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


def test_an_idle_connection_is_closed_also_after_a_body_that_came_late(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_when_idle = HttpProtocol._close_when_idle  # noqa: SLF001 - the test shortens the time from here on.

    def close_at_once(protocol: HttpProtocol) -> None:
        protocol.timeout_keep_alive = 0
        close_when_idle(protocol)

    monkeypatch.setattr(HttpProtocol, "_close_when_idle", close_at_once)
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 4\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"null")

        assert connection.recv(65536) == b""


def test_a_body_that_breaks_off_is_no_complete_body(as_alice: Caller, live_server: LiveServer) -> None:
    head = (
        "POST /api/v1/tasks/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        f"Authorization: Bearer {as_alice.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with capture_logs() as logs:
        with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
            connection.sendall(head.encode() + b"14\r\ntitle\nBuy milk\nBuy br\r\n")
        wait_until(lambda: any(line.get("route") == "/api/v1/tasks/import" for line in logs))

    assert as_alice.get("/api/v1/tasks").json()["items"] == []
