"""Several web processes behind one port, started with `python -m api`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.realtime import publish
from tests.builders import create_task
from tests.e2e.system import PROJECT
from tests.metrics import sample
from tests.polling import wait_until
from tests.processes import free_port, is_alive

NAMES = {"web-1", "web-2"}
STARTUP_FAILURE = 3
ENOUGH_CONNECTIONS = 60
_STOP_SECONDS = 40


class Api:
    """An API of two processes, and a client of it. Every request has a connection of its own."""

    def __init__(
        self, environ: dict[str, str], log: Path, port: int | None = None, metrics_port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.headers: dict[str, str] = {}
        self._log = log
        own = {
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "WEB_STAYS_ON_CORE": "true",
            "LOG_FILE": str(log),
            "RATE_LIMIT": "100000/day",
            "SOCKETS_PER_USER": str(ENOUGH_CONNECTIONS),
            "METRICS_PORT": "" if metrics_port is None else str(metrics_port),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=PROJECT, stdout=subprocess.DEVNULL, env=os.environ | environ | own
        )

    @property
    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children() if is_alive(child.pid)]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log that tell of this event."""
        lines = map(json.loads, self._log.read_text().splitlines()) if self._log.exists() else []
        return [line for line in lines if line["event"] == event]

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", headers=self.headers, timeout=20)

    def responds(self) -> bool:
        try:
            return self.get("/health/ready").status_code == 200
        except requests.ConnectionError:
            return False

    def get_until_each_has_served(self) -> list[requests.Response]:
        """Send requests until each process has served one of them, and return the responses."""
        responses: list[requests.Response] = []
        earlier = len(self.lines("request"))

        def have_all_served() -> bool:
            responses.append(self.get("/api/v1/tasks"))
            return {line["process"] for line in self.lines("request")[earlier:]} >= NAMES

        wait_until(have_all_served, 30)
        return responses

    def listen(self, stack: ExitStack) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.port}/ws"
        listener = stack.enter_context(connect(url, additional_headers=self.headers, proxy=None))
        assert json.loads(listener.recv(timeout=20))["type"] == "ready"
        return listener

    def listen_on_each(self, stack: ExitStack) -> list[ClientConnection]:
        """Open sockets until each process has one, and return them all."""
        listeners: list[ClientConnection] = []
        while {line["process"] for line in self.lines("socket_opened")} != NAMES:
            assert len(listeners) < ENOUGH_CONNECTIONS
            listeners.append(self.listen(stack))
            wait_until(lambda: len(self.lines("socket_opened")) == len(listeners))
        return listeners

    def end(self) -> None:
        """End all processes, whatever the test has left of them."""
        family = [self.process.pid, *(self.children if is_alive(self.process.pid) else [])]
        self.process.terminate()
        self.process.wait(_STOP_SECONDS)
        for process in family:
            wait_until(lambda process=process: not is_alive(process), _STOP_SECONDS)  # type: ignore[misc]  # bound by default


@pytest.fixture
def headers(settings: Settings, alice: Actor) -> dict[str, str]:
    """The headers of Alice's requests."""
    issuer = TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)
    return {"Authorization": f"Bearer {issuer.access_token(alice.user_id, alice.session_id)}"}


@pytest.fixture
def start(environ: dict[str, str], headers: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """A function that starts an API of two processes on a port, which is a free one by default."""
    started: list[Api] = []

    def run(port: int | None = None, metrics_port: int | None = None) -> Api:
        api = Api(environ, tmp_path / f"{len(started)}.log", port, metrics_port)
        started.append(api)
        api.headers = headers
        return api

    yield run
    for api in started:
        api.end()


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    """An API whose two processes both respond."""
    started = start()
    wait_until(started.responds, 60)
    started.get_until_each_has_served()
    return started


@pytest.fixture(scope="module")
def lasting_api(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    started = Api(environ, tmp_path_factory.mktemp("api") / "log")
    yield started
    started.end()


@pytest.fixture
def shared_api(lasting_api: Api, headers: dict[str, str]) -> Api:
    """An API whose two processes both respond, for the tests after which this is still so."""
    lasting_api.headers = headers
    wait_until(lasting_api.responds, 60)
    lasting_api.get_until_each_has_served()
    return lasting_api


def test_requests_of_both_processes_count_against_one_limit(shared_api: Api) -> None:
    first = shared_api.get("/api/v1/tasks")

    responses = shared_api.get_until_each_has_served()

    remaining = [int(response.headers["RateLimit-Remaining"]) for response in [first, *responses]]
    assert remaining == list(range(remaining[0], remaining[0] - len(remaining), -1))


def test_the_metrics_are_summed_over_the_processes_also_if_one_is_killed(start: Callable[..., Api]) -> None:
    metrics_port = free_port()
    api = start(metrics_port=metrics_port)
    wait_until(api.responds, 60)

    def served() -> float:
        labels = {"method": "GET", "route": "/api/v1/tasks", "status": "200"}
        return sample(metrics_port, "allweather_http_request_duration_seconds_count", labels)

    first = len(api.get_until_each_has_served())
    assert served() == first

    (victim,) = [line["process_id"] for line in api.lines("web_process_started") if line["name"] == "web-1"]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: api.lines("web_process_ended"))
    second = len(api.get_until_each_has_served())

    assert served() == first + second
    assert sample(metrics_port, "allweather_threads", {"pool": "passwords"}) == len(NAMES) * 2


def test_an_event_is_sent_to_the_sockets_of_both_processes(
    shared_api: Api, alice: Actor, redis: "Redis[bytes]"
) -> None:
    with ExitStack() as stack:
        listeners = shared_api.listen_on_each(stack)

        task_id = create_task(alice)
        publish(redis)

        frames = [json.loads(listener.recv(timeout=20)) for listener in listeners]
    assert {(frame["type"], frame["task_id"]) for frame in frames} == {("task.created", task_id)}


@pytest.mark.skipif(sys.platform != "linux", reason="ONLY LINUX KEEPS PROCESSES ON CORES")
def test_each_process_stays_on_a_core_of_its_own_if_there_are_enough(shared_api: Api) -> None:
    every = sorted(os.sched_getaffinity(0))

    kept = [psutil.Process(child).cpu_affinity() for child in shared_api.children]

    assert sorted(kept) == sorted([every[number % len(every)]] for number in range(2))


def test_a_killed_process_is_replaced_and_requests_go_on(shared_api: Api) -> None:
    victim, other = shared_api.children

    os.kill(victim, signal.SIGKILL)
    # Until its last thread has ended, the system gives the process new connections, and resets them at its end.
    wait_until(lambda: shared_api.lines("web_process_ended"))
    meanwhile = [shared_api.get("/api/v1/tasks").status_code for _ in range(10)]

    assert set(meanwhile) == {200}
    wait_until(lambda: len(shared_api.children) == 2)
    assert victim not in shared_api.children
    assert other in shared_api.children
    (ended,) = shared_api.lines("web_process_ended")
    assert ended["exit_code"] == -signal.SIGKILL
    shared_api.get_until_each_has_served()


def test_sigterm_closes_sockets_and_lets_requests_finish(api: Api) -> None:
    children = api.children
    with ExitStack() as stack:
        listeners = api.listen_on_each(stack)
        client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", api.port), timeout=20)))
        body = b'{"login": "nobody", "password": "nothing"}'
        head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 100 ")

        api.process.terminate()
        codes = set()
        for listener in listeners:
            with pytest.raises(ConnectionClosed) as closed:
                listener.recv(timeout=20)
            codes.add(closed.value.rcvd and closed.value.rcvd.code)
        client.sendall(body)
        response = client.makefile("rb").readline()

    assert api.process.wait(_STOP_SECONDS) == 0
    assert response.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 422 "))
    assert codes == {1012}
    assert [child for child in children if is_alive(child)] == []
    assert api.lines("web_process_killed") == []


def test_the_processes_end_if_the_process_that_started_them_is_killed(api: Api) -> None:
    children = api.children

    api.process.kill()

    wait_until(lambda: not any(map(is_alive, children)), _STOP_SECONDS)


def test_a_second_installation_does_not_share_the_port(shared_api: Api, start: Callable[..., Api]) -> None:
    second = start(shared_api.port)

    assert second.process.wait(_STOP_SECONDS) == STARTUP_FAILURE
    (line,) = second.lines("port_unavailable")
    assert line["port"] == shared_api.port


FAILING_FORK = """
import signal, sys
from multiprocessing.context import ForkProcess
from api.processes import serve_in_processes
from core.config import Settings

start = ForkProcess.start

def start_only_the_first(process):
    if process.name != "web-1":
        raise OSError(11, "Resource temporarily unavailable")
    start(process)
    print(process.pid, flush=True)

ForkProcess.start = start_only_the_first
settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file="", port=int(sys.argv[1]))
serve_in_processes(settings, 2, lambda *_: signal.pause())
"""


def test_if_a_process_cannot_be_forked_all_end_and_none_is_left_alone() -> None:
    arguments = [sys.executable, "-c", FAILING_FORK, str(free_port())]
    with subprocess.Popen(  # noqa: S603 - this interpreter and the script above.
        arguments, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            _, errors = process.communicate(timeout=_STOP_SECONDS)
        finally:
            process.kill()

    assert process.returncode == 1
    assert b"Resource temporarily unavailable" in errors
