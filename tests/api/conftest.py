"""The API on a real server, and callers that speak to it as each of the cast."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import requests
import uvicorn

from api.app import create_app
from api.server import SERVER_OPTIONS
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.polling import wait_until


@pytest.fixture(autouse=True)
def _clean(database: None) -> None:
    """Every test of the API begins without rows."""


class LiveServer:
    """An app served by uvicorn in a thread of this process."""

    def __init__(self, app: Any) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **SERVER_OPTIONS))
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
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="package")
def live_server(settings: Settings) -> Iterator[LiveServer]:
    with LiveServer(create_app(settings)) as server:
        yield server


@pytest.fixture(scope="session")
def issuer(settings: Settings) -> TokenIssuer:
    return TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)


class Caller:
    """An HTTP client, with somebody's token or without."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self._base_url = base_url
        self.token = token
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

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


@pytest.fixture
def caller_for(live_server: LiveServer, issuer: TokenIssuer) -> Callable[[Actor], Caller]:
    """Makes the caller who acts as one of the cast."""
    return lambda actor: Caller(live_server.url, issuer.access_token(actor.user_id, actor.session_id))


@pytest.fixture
def anybody(live_server: LiveServer) -> Caller:
    """A caller without a token."""
    return Caller(live_server.url)


@pytest.fixture
def as_alice(caller_for: Callable[[Actor], Caller], alice: Actor) -> Caller:
    return caller_for(alice)


@pytest.fixture
def as_bob(caller_for: Callable[[Actor], Caller], bob: Actor) -> Caller:
    return caller_for(bob)


@pytest.fixture
def as_mallory(caller_for: Callable[[Actor], Caller], mallory: Actor) -> Caller:
    return caller_for(mallory)


@pytest.fixture
def as_ada(caller_for: Callable[[Actor], Caller], ada: Actor) -> Caller:
    return caller_for(ada)


def assert_problem(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem document of this kind, and answer it."""
    assert response.headers["Content-Type"].startswith("application/problem+json"), response.text
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["detail"]
    assert problem["title"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return problem
