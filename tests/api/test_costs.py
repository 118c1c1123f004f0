"""Expensive operations count as several requests, and each user has few places for them."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event, Semaphore
from typing import Any

import pytest
import requests

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from core.services import account_export, bulk, transfer
from tests.api.callers import Caller, LiveServer, assert_problem, create_task
from tests.polling import wait_until

LIMIT = 12
LINES = {"Content-Type": "application/x-ndjson"}


def import_nothing(caller: Caller) -> requests.Response:
    return caller.post("/api/v1/tasks/import", data=b"", headers=LINES)


def change_nothing(caller: Caller) -> requests.Response:
    """Send a bulk request whose only operation fails."""
    return caller.post("/api/v1/tasks/bulk", json={"operations": [{"op": "delete", "id": 10**9}]})


def export_tasks(caller: Caller) -> requests.Response:
    return caller.get("/api/v1/tasks/export")


def export_account(caller: Caller) -> requests.Response:
    return caller.get("/api/v1/users/me/export")


EXPENSIVE = [import_nothing, change_nothing, export_tasks, export_account]


class TestWeight:
    @pytest.fixture
    def server(self, settings: Settings) -> Iterator[LiveServer]:
        with LiveServer(create_app(settings.model_copy(update={"rate_limit": f"{LIMIT}/hour"}))) as server:
            yield server

    @pytest.fixture
    def caller(self, server: LiveServer, issuer: TokenIssuer, alice: Actor) -> Caller:
        return Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))

    @pytest.mark.parametrize("send", EXPENSIVE)
    def test_an_expensive_request_counts_as_five(
        self, send: Callable[[Caller], requests.Response], caller: Caller
    ) -> None:
        responses = [send(caller) for _ in range(3)]

        assert [response.status_code for response in responses] == [200, 200, 429]
        assert [response.headers["RateLimit-Remaining"] for response in responses] == ["7", "2", "2"]
        assert_problem(responses[2], 429, "rate_limited")

    def test_a_refused_expensive_request_leaves_cheap_ones(self, caller: Caller) -> None:
        for _ in range(3):
            import_nothing(caller)

        assert [caller.get("/tasks").status_code for _ in range(3)] == [200, 200, 429]

    def test_without_redis_the_weight_is_the_same(
        self, settings: Settings, issuer: TokenIssuer, alice: Actor, unused_tcp_port: int
    ) -> None:
        nowhere = type(settings.redis_url)(f"redis://127.0.0.1:{unused_tcp_port}/0")
        alone = settings.model_copy(update={"rate_limit": f"{LIMIT}/hour", "redis_url": nowhere})
        with LiveServer(create_app(alone)) as server:
            caller = Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))

            assert [import_nothing(caller).status_code for _ in range(3)] == [200, 200, 429]
            assert caller.get("/tasks").headers["RateLimit-Remaining"] == "1"

    def test_a_limit_below_the_weight_allows_one_such_request(
        self, settings: Settings, issuer: TokenIssuer, alice: Actor
    ) -> None:
        with LiveServer(create_app(settings.model_copy(update={"rate_limit": "3/hour"}))) as server:
            caller = Caller(server.url, issuer.access_token(alice.user_id, alice.session_id))

            assert [import_nothing(caller).status_code for _ in range(2)] == [200, 429]


class TestPlaces:
    @pytest.fixture
    def begun(self) -> Semaphore:
        """Counts the calls that wait at the gate."""
        return Semaphore(0)

    @pytest.fixture
    def gate(self, begun: Semaphore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
        """Holds up the use cases of Alice's expensive requests until it is opened."""
        opened = Event()

        def held_up(use_case: Callable[..., Any]) -> Callable[..., Any]:
            def wait(actor: Actor, *args: Any) -> Any:
                if self.held == actor.user_id and not opened.is_set():
                    begun.release()
                    assert opened.wait(30)
                return use_case(actor, *args)

            return wait

        for module, name in ((bulk, "change_tasks"), (account_export, "read_part"), (transfer, "import_batch")):
            monkeypatch.setattr(module, name, held_up(getattr(module, name)))
        monkeypatch.setattr(transfer, "read_own_page", held_up(transfer.read_own_page))
        yield opened
        opened.set()

    @pytest.mark.parametrize(
        ("send", "places"),
        [
            (lambda caller: caller.post("/api/v1/tasks/import", data=b'{"title": "x"}', headers=LINES), 2),
            (change_nothing, 4),
            (export_tasks, 2),
            (export_account, 1),
        ],
    )
    def test_a_user_has_few_places_and_others_have_their_own(
        self,
        send: Callable[[Caller], requests.Response],
        places: int,
        begun: Semaphore,
        gate: Event,
        caller_for: Callable[[Actor], Caller],
        alice: Actor,
        bob: Actor,
    ) -> None:
        self.held = alice.user_id
        with ThreadPoolExecutor(places) as pool:
            served = [pool.submit(send, caller_for(alice)) for _ in range(places)]
            for _ in served:
                assert begun.acquire(timeout=20)

            refused, others = send(caller_for(alice)), send(caller_for(bob))
            cheap = caller_for(alice).get("/api/v1/tasks")
            gate.set()

        assert_problem(refused, 429, "too_many_at_once")
        assert refused.headers["Retry-After"] == "1"
        assert (others.status_code, cheap.status_code) == (200, 200)
        assert [response.result().status_code for response in served] == [200] * places
        wait_until(lambda: send(caller_for(alice)).status_code == 200)

    def test_a_stalled_import_keeps_its_place_until_the_client_leaves(
        self, live_server: LiveServer, as_alice: Caller, as_bob: Caller
    ) -> None:
        head = (
            "POST /api/v1/tasks/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            f"Authorization: Bearer {as_alice.token}\r\nContent-Length: 1000\r\n\r\n"
        )
        with ExitStack() as stalled:

            def stall_another() -> bool:
                """Begin one more import. It gets no place if the request that checks the places has it just then."""
                connection = socket.create_connection(("127.0.0.1", live_server.port))
                stalled.enter_context(connection).sendall(head.encode() + b"{")
                return import_nothing(as_alice).status_code == 429

            wait_until(stall_another)

            assert import_nothing(as_bob).status_code == 200
            assert export_tasks(as_alice).status_code == 200

        wait_until(lambda: import_nothing(as_alice).status_code == 200)

    def test_an_export_keeps_its_place_while_it_is_streamed(
        self, as_alice: Caller, alice: Actor, caller_for: Callable[[Actor], Caller], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create_task(as_alice)
        read, opened = transfer.read_own_page, Event()
        end = transfer.Cursor(datetime.max.replace(tzinfo=UTC), 1)

        def read_slowly(actor: Actor, after: transfer.Cursor) -> transfer.OwnPage:
            if after == transfer.START:
                return replace(read(actor, after), end=end)
            assert opened.wait(30)
            return read(actor, after)

        monkeypatch.setattr(transfer, "read_own_page", read_slowly)
        streams = [caller_for(alice).get("/api/v1/tasks/export", stream=True) for _ in range(2)]

        assert [stream.status_code for stream in streams] == [200, 200]
        assert_problem(export_tasks(as_alice), 429, "too_many_at_once")
        opened.set()
        assert all(stream.content for stream in streams)

    def test_a_client_that_leaves_during_the_export_of_the_account_frees_the_place(
        self, live_server: LiveServer, as_alice: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, begun, opened = account_export.read_part, Semaphore(0), Event()
        positions: list[account_export.Position] = []

        def read_slowly(actor: Actor, position: account_export.Position) -> account_export.Part:
            positions.append(position)
            begun.release()
            assert opened.wait(30)
            return read(actor, position)

        monkeypatch.setattr(account_export, "read_part", read_slowly)
        with as_alice.get("/api/v1/users/me/export", stream=True) as stream:
            assert stream.status_code == 200
            assert begun.acquire(timeout=20)
            assert_problem(
                Caller(live_server.url, as_alice.token).get("/api/v1/users/me/export"), 429, "too_many_at_once"
            )
        monkeypatch.setattr(account_export, "read_part", read)
        opened.set()

        wait_until(lambda: export_account(as_alice).status_code == 200)
        assert len(positions) == 1

    def test_requests_for_the_head_only_leave_their_place(self, as_alice: Caller) -> None:
        statuses = [as_alice("HEAD", "/api/v1/tasks/export").status_code for _ in range(5)]

        assert statuses == [200] * 5

    def test_a_request_that_fails_leaves_its_place(self, as_alice: Caller) -> None:
        unreadable = [as_alice.post("/api/v1/tasks/bulk", data=b"{").status_code for _ in range(6)]

        assert unreadable == [400] * 6
        assert change_nothing(as_alice).status_code == 200
