"""A process that has too much to do refuses requests at once, at little cost, and recovers."""

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
import requests
from falcon.asgi import Request, Response
from structlog.testing import capture_logs

from api.http import bodies, errors, overload
from api.http.early_app import EarlyApp
from api.http.operation import unlisted
from api.http.overload import OverloadLog
from api.http.routing import Router
from tests.api.callers import LiveServer, assert_problem
from tests.polling import wait_until

MIB = 1024 * 1024
PLACES = 2


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave few places; replace the fixture that empties the database, which these tests do not need."""
    monkeypatch.setattr(overload, "MOST_UNDER_WAY", PLACES)
    monkeypatch.setattr(overload, "MORE_FOR_HEALTH", 1)


class Work:
    """Responds when the test releases it: to GET with a text, to PUT with a stream.

    It responds to POST at once, with the size of the body.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.released = threading.Event()

    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        self.begun += 1
        await asyncio.to_thread(self.released.wait)
        resp.media = "done"

    @unlisted
    async def on_put(self, _req: Request, resp: Response) -> None:
        self.begun += 1
        resp.stream = self._pieces()

    @unlisted
    async def on_post(self, req: Request, resp: Response) -> None:
        self.begun += 1
        resp.media = len(await req.stream.readall())

    @unlisted
    async def on_patch(self, _req: Request, resp: Response) -> None:
        self.begun += 1
        with overload.uncounted():
            await asyncio.to_thread(self.released.wait)
        resp.media = "done"

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"first "
        await asyncio.to_thread(self.released.wait)
        yield b"last"


class Health:
    @unlisted
    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = "ok"


@pytest.fixture
def work() -> Iterator[Work]:
    resource = Work()
    yield resource
    resource.released.set()


@pytest.fixture
def server(work: Work) -> Iterator[LiveServer]:
    app: Any = EarlyApp(router=Router())
    bodies.install(app, MIB, MIB)
    errors.install(app)
    app.add_route("/work", work)
    app.add_route("/health", Health())
    with LiveServer(app) as running:
        yield running
        work.released.set()


@pytest.fixture
def full(server: LiveServer, work: Work) -> Iterator[list[Any]]:
    """Requests that occupy all places until `work.released` is set."""
    with ThreadPoolExecutor(PLACES) as pool:
        under_way = [pool.submit(requests.get, f"{server.url}/work", timeout=20) for _ in range(PLACES)]
        wait_until(lambda: work.begun == PLACES)
        yield under_way
        work.released.set()


def connected(server: LiveServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def received(client: socket.socket) -> bytes:
    """Return everything that arrives until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_requests_that_wait_for_something_with_its_own_bound_leave_their_places_to_others(
    server: LiveServer, work: Work
) -> None:
    with ThreadPoolExecutor(3 * PLACES) as pool:
        waiting = []
        for number in range(1, 3 * PLACES + 1):
            # A request has its place until it waits, so requests that came together could need too many places.
            waiting.append(pool.submit(requests.patch, f"{server.url}/work", timeout=20))
            wait_until(lambda number=number: work.begun == number)  # type: ignore[misc]  # bound by default
        assert requests.post(f"{server.url}/work", data=b"x", timeout=20).status_code == 200
        work.released.set()
        assert [request.result().status_code for request in waiting] == [200] * 3 * PLACES


def test_a_request_too_many_is_refused_at_once_and_never_run(server: LiveServer, work: Work, full: list[Any]) -> None:
    refused = requests.get(f"{server.url}/work", timeout=20)

    assert_problem(refused, 503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert not any(request.done() for request in full)
    work.released.set()
    assert [request.result().status_code for request in full] == [200, 200]
    assert requests.get(f"{server.url}/work", timeout=20).status_code == 200
    assert work.begun == PLACES + 1


def test_health_responds_while_other_requests_are_refused(server: LiveServer, full: list[Any]) -> None:
    assert requests.get(f"{server.url}/health?probe=1", timeout=20).json() == "ok"
    assert requests.get(f"{server.url}/healthy", timeout=20).status_code == 503


def test_a_connection_is_used_again_after_a_refusal_with_a_body(
    server: LiveServer, work: Work, full: list[Any]
) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client:
        client.request("POST", "/work", b"x" * 100_000)
        refused = client.getresponse()
        assert (refused.status, json.loads(refused.read())["code"]) == (503, "overloaded")
        connection = client.sock
        work.released.set()
        for request in full:
            request.result()

        client.request("POST", "/work", b"xyz")

        assert client.getresponse().read() == b"3"
        assert client.sock is connection


def test_connections_that_were_refused_together_are_not_read_together() -> None:
    pauses = Counter(int(overload.pause_seconds() * 100) for _ in range(1000))

    assert len(pauses) >= 18
    assert max(pauses.values()) < 150


def test_the_refusal_of_head_has_no_body(server: LiveServer, full: list[Any]) -> None:
    with closing(connected(server)) as client:
        client.sendall(b"HEAD /work HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nConnection: close\r\n\r\n")

        responses = received(client)

    first, _, rest = responses.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: close",
        b"Content-Length: 10\r\nExpect: 100-continue",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: QUJD",
    ],
    ids=["close", "expect", "websocket"],
)
def test_the_connection_ends_if_its_next_bytes_may_be_no_request(
    server: LiveServer, full: list[Any], headers: bytes
) -> None:
    with closing(connected(server)) as client:
        client.sendall(b"GET /work HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")

        head, _, body = received(client).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\nretry-after: 1" in head
    assert json.loads(body)["code"] == "overloaded"


def test_requests_that_wait_for_their_clients_leave_their_places_to_others(server: LiveServer, work: Work) -> None:
    slow = [connected(server) for _ in range(2 * PLACES)]
    try:
        for number, client in enumerate(slow):
            if number % 2:
                client.sendall(b"PUT /work HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            else:
                client.sendall(b"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
                wait_until(lambda number=number: work.begun == number + 1)  # type: ignore[misc]  # bound by default

        assert requests.post(f"{server.url}/work", data=b"four", timeout=20).json() == 4
    finally:
        for client in slow:
            client.close()


def test_a_spell_of_refusals_is_logged_when_it_begins_and_when_it_has_ended(
    server: LiveServer, work: Work, full: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_calm = threading.Event()
    check = OverloadLog._check  # noqa: SLF001 - the test decides when a spell may end.

    def check_when_calm(spell: OverloadLog) -> None:
        if is_calm.is_set():
            check(spell)
        else:
            asyncio.get_running_loop().call_later(0.01, spell._check)  # noqa: SLF001 - see above.

    monkeypatch.setattr(OverloadLog, "_check", check_when_calm)
    monkeypatch.setattr(overload, "CALM_SECONDS", 0.2)
    with capture_logs() as lines:
        for spell, refusals in enumerate((3, 1), start=1):
            for _ in range(refusals):
                requests.get(f"{server.url}/work", timeout=20)
            is_calm.set()
            wait_until(lambda spell=spell: [line["event"] for line in lines].count("overload_over") == spell)  # type: ignore[misc]  # bound by default
            is_calm.clear()

    told = [(line["event"], line["part"]) for line in lines if "part" in line]
    assert told == [("overloaded", "requests"), ("overload_over", "requests")] * 2
    assert [line["refused"] for line in lines if "refused" in line] == [3, 1]
