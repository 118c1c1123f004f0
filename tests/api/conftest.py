"""A running API, and an HTTP client for each of the test users."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from redis import Redis

from api.app import create_app
from api.http import openapi
from api.http.routing import MappedPath
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, callers_of, create_task_at
from tests.api.mailbox import Mailbox, sending_mails
from tests.doubles.smtp import MailServer
from tests.processes import free_port


@pytest.fixture(autouse=True)
def _clean(database: None) -> None:
    """Start every test of the API with empty tables."""


@pytest.fixture(scope="package", autouse=True)
def _describe_the_api_once() -> Iterator[None]:
    """Build the API description once for all apps of these tests, as this is most of the work of making an app.

    All these apps have the same routes.
    """
    build = openapi.build_description
    described: dict[str, Any] = {}

    def build_once(app_name: str, paths: Iterable[MappedPath]) -> Any:
        if app_name not in described:
            described[app_name] = build(app_name, paths)
        return described[app_name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openapi, "build_description", build_once)
        yield


@pytest.fixture(scope="package")
def live_server(settings: Settings) -> Iterator[LiveServer]:
    with LiveServer(create_app(settings)) as server:
        yield server


@pytest.fixture(scope="session")
def issuer(settings: Settings) -> TokenIssuer:
    return TokenIssuer(settings.secret_key.get_secret_value(), settings.access_token_minutes * 60)


@pytest.fixture
def caller_for(live_server: LiveServer, issuer: TokenIssuer) -> Callable[[Actor], Caller]:
    """Return a function that makes a client with the access token of a user."""
    return callers_of(live_server, issuer)


@pytest.fixture
def client_with_settings(settings: Settings, issuer: TokenIssuer) -> Iterator[Callable[..., Callable[[Actor], Caller]]]:
    """A function that starts a server with other settings and returns a function that makes clients for it."""
    running: list[LiveServer] = []

    def start(changed: Settings) -> Callable[[Actor], Caller]:
        server = LiveServer(create_app(changed))
        server.__enter__()
        running.append(server)
        return callers_of(server, issuer)

    yield start
    for server in running:
        server.__exit__()


@pytest.fixture(scope="package")
def mail_server() -> Iterator[MailServer]:
    with MailServer(free_port()) as server:
        yield server


@pytest.fixture(scope="package")
def mailing_server(settings: Settings, mail_server: MailServer) -> Iterator[LiveServer]:
    """A running API that sends mails; `live_server` sends none."""
    with LiveServer(create_app(sending_mails(settings, mail_server))) as server:
        yield server


@pytest.fixture
def mailbox(settings: Settings, redis: "Redis[bytes]", mail_server: MailServer) -> Mailbox:
    """The mails that `mailing_server` sends in this test."""
    mail_server.mails.clear()
    return Mailbox(sending_mails(settings, mail_server), redis, mail_server)


@pytest.fixture
def anybody(live_server: LiveServer) -> Caller:
    """A client without a token."""
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


@pytest.fixture
def task(as_alice: Caller, bob: Actor) -> str:
    """The path of a task that Alice owns and that is assigned to Bob."""
    return create_task_at(as_alice, assignee_id=bob.user_id)
