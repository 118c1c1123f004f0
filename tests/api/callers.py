"""A real server for the API, an HTTP client for its tests, and checks of its responses."""

import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import uvicorn

from api.http.http_protocol import Deadlines
from api.server import server_options
from core.policy import Actor
from core.security import TokenIssuer
from tests.polling import wait_until

TASKS = "/api/v1/tasks"
DEADLINES = Deadlines(head=10, body=120, stall=10)


class LiveServer:
    """An app served by uvicorn in a thread of this process."""

    def __init__(self, app: Any, deadlines: Deadlines = DEADLINES, *, is_development: bool = True) -> None:
        options = server_options(deadlines, is_development=is_development)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, **options)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="live-server")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def port(self) -> int:
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._server.server_state.connections)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Caller:
    """An HTTP client, with or without an access token."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self._base_url = base_url
        self.token = token
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def without_token(self) -> "Caller":
        """Return a client of the same server without a token."""
        return Caller(self._base_url)

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the server, for tests that write to a socket."""
        parts = urlsplit(self._base_url)
        return str(parts.hostname), int(parts.port or 0)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self._base_url + path, timeout=20, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self("POST", path, **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        return self("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> requests.Response:
        return self("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self("DELETE", path, **options)


def callers_of(server: LiveServer, issuer: TokenIssuer) -> Callable[[Actor], Caller]:
    """Return a function that makes a client of this server with the access token of a user."""
    return lambda actor: Caller(server.url, issuer.access_token(actor.user_id, actor.session_id))


def assert_problem(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is a problem of this status and code, and return it."""
    assert response.headers["Content-Type"].startswith("application/problem+json"), response.text
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["detail"]
    assert problem["title"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return problem


def invalid_fields(response: requests.Response) -> list[str]:
    """Check that a response reports invalid input, and return the names of the invalid fields."""
    return [error["field"] for error in assert_problem(response, 422, "invalid")["errors"]]


def create_task(caller: Caller, **fields: Any) -> dict[str, Any]:
    """Create a task and return it."""
    response = caller.post(TASKS, json={"title": "Clean the gutters"} | fields)
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def create_task_at(caller: Caller, **fields: Any) -> str:
    """Create a task and return its path."""
    return f"{TASKS}/{create_task(caller, **fields)['id']}"


def id_in(path: str) -> int:
    """Return the id with which a path ends."""
    return int(path.rsplit("/", 1)[1])
