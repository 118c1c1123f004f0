"""The caches of the authenticator: what is read only once, when it is read again, and how many entries are kept."""

import asyncio
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from falcon.asgi import Response
from falcon.testing import create_asgi_req
from freezegun import freeze_time
from peewee import InterfaceError, OperationalError

from api.http import auth
from api.http.auth import AuthenticationMiddleware, Authenticator, bearer_token, find_actor, require_actor
from api.http.threads import Bridge
from core.errors import Unauthenticated
from core.policy import Actor, Role
from core.security import AccessClaims, TokenIssuer
from core.services import personal_tokens, sessions

SECRET_KEY = "a secret of the test run, long enough to sign with"
HOUR = 3600.0
TODAY = "2026-01-01T12:00:00Z"


class CountingIssuer(TokenIssuer):
    """Remembers which access tokens it has read."""

    def __init__(self, access_token_seconds: int = 3600) -> None:
        super().__init__(SECRET_KEY, access_token_seconds)
        self.read: list[str] = []

    def read_access_token(self, token: str) -> AccessClaims:
        self.read.append(token)
        return super().read_access_token(token)


@pytest.fixture
def issuer() -> CountingIssuer:
    return CountingIssuer()


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    bridge = Bridge(database_threads=1, database_seconds=10, password_threads=1)
    yield bridge
    bridge.close()


@pytest.fixture
def authenticator(issuer: CountingIssuer, bridge: Bridge) -> Authenticator:
    return Authenticator(issuer, bridge, HOUR)


@pytest.fixture
def read_sessions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sessions that were read from the database, in which every session belongs to the account of its number."""
    read: list[int] = []

    def session_actor(session_id: int) -> Actor:
        read.append(session_id)
        return Actor(session_id, Role.USER, session_id)

    monkeypatch.setattr(sessions, "session_actor", session_actor)
    return read


def callers(authenticator: Authenticator, *session_ids: int) -> list[Actor]:
    async def find() -> list[Actor]:
        return [await authenticator.actor(AccessClaims(each, each, None)) for each in session_ids]

    return asyncio.run(find())


def test_a_signature_is_checked_once(authenticator: Authenticator, issuer: CountingIssuer) -> None:
    token = issuer.access_token(1, 2)

    claims = [authenticator.claims(token) for _ in range(3)]

    assert {(each.user_id, each.session_id) for each in claims} == {(1, 2)}
    assert issuer.read == [token]


def test_a_known_token_is_refused_when_it_has_expired(authenticator: Authenticator, issuer: CountingIssuer) -> None:
    with freeze_time(TODAY) as clock:
        token = issuer.access_token(1, 2)
        authenticator.claims(token)
        clock.tick(issuer.access_token_seconds + 60)

        with pytest.raises(Unauthenticated) as refusal:
            authenticator.claims(token)

    assert refusal.value.stable_code == "token_expired"


def test_a_personal_token_needs_no_expiry(authenticator: Authenticator, issuer: CountingIssuer) -> None:
    with freeze_time(TODAY) as clock:
        token = issuer.personal_token(1, 2)
        authenticator.claims(token)
        clock.tick(365 * 24 * HOUR)

        assert authenticator.claims(token) == AccessClaims(1, 2, None)


def test_a_bounded_number_of_tokens_is_remembered(
    authenticator: Authenticator, issuer: CountingIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_MAX_CACHE_ENTRIES", 2)
    first, second, third = (issuer.access_token(1, session_id) for session_id in (1, 2, 3))

    for token in (first, second, first, third, first, third):
        authenticator.claims(token)

    assert issuer.read == [first, second, third, first]


def test_a_session_is_read_once(authenticator: Authenticator, read_sessions: list[int]) -> None:
    found = callers(authenticator, 1, 2, 1, 2)

    assert [actor.user_id for actor in found] == [1, 2, 1, 2]
    assert read_sessions == [1, 2]


def test_a_session_that_has_ended_is_refused_and_read_once(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def session_actor(session_id: int) -> Actor:
        read.append(session_id)
        raise sessions.session_ended()

    monkeypatch.setattr(sessions, "session_actor", session_actor)
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refusal:
            callers(authenticator, 1)
        assert refusal.value.stable_code == "session_revoked"
    assert read == [1]


@pytest.mark.parametrize(("scopes", "noted"), [(None, []), (frozenset({"tasks:read"}), [1])])
def test_the_use_of_personal_tokens_is_noted_when_their_session_is_read(
    scopes: frozenset[str] | None, noted: list[int], authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[int] = []
    monkeypatch.setattr(sessions, "session_actor", lambda number: Actor(number, Role.USER, number, scopes))
    monkeypatch.setattr(personal_tokens, "note_use", lambda actor: notes.append(actor.session_id))

    callers(authenticator, 1, 1)

    assert notes == noted


class TestRequests:
    """What is known of the caller of a request."""

    @staticmethod
    def request(authenticator: Authenticator, token: str | None) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        req = create_asgi_req(headers=headers)
        asyncio.run(AuthenticationMiddleware(authenticator).process_request(req, Response()))
        return req

    def test_a_request_with_a_token_has_a_caller(
        self, authenticator: Authenticator, issuer: CountingIssuer, read_sessions: list[int]
    ) -> None:
        req = self.request(authenticator, issuer.access_token(7, 7))

        assert asyncio.run(require_actor(req)) == Actor(7, Role.USER, 7)
        assert req.context.user_id == 7
        assert asyncio.run(require_actor(req)).user_id == 7
        assert read_sessions == [7]

    @pytest.mark.parametrize(("token", "code"), [(None, "token_missing"), ("forged", "token_invalid")])
    def test_a_request_without_a_good_token_has_none(
        self, token: str | None, code: str, authenticator: Authenticator
    ) -> None:
        req = self.request(authenticator, token)

        assert asyncio.run(find_actor(req)) is None
        with pytest.raises(Unauthenticated) as refusal:
            asyncio.run(require_actor(req))
        assert refusal.value.stable_code == code
        assert req.context.user_id is None

    @pytest.mark.parametrize("failure", [sessions.session_ended(), OperationalError("down"), InterfaceError("closed")])
    def test_a_session_that_cannot_be_read_is_read_once_for_each_request(
        self,
        failure: Exception,
        authenticator: Authenticator,
        issuer: CountingIssuer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Operations for everybody are answered without a caller; the others refuse the request with the reason."""
        read: list[int] = []

        def session_actor(session_id: int) -> Actor:
            read.append(session_id)
            raise failure

        monkeypatch.setattr(sessions, "session_actor", session_actor)
        req = self.request(authenticator, issuer.access_token(7, 7))

        assert asyncio.run(find_actor(req)) is None
        with pytest.raises(type(failure)):
            asyncio.run(require_actor(req))
        assert read == [7]

    def test_a_token_with_the_session_of_another_account_has_no_caller(
        self, authenticator: Authenticator, issuer: CountingIssuer, read_sessions: list[int]
    ) -> None:
        req = self.request(authenticator, issuer.access_token(7, 8))

        with pytest.raises(Unauthenticated) as refusal:
            asyncio.run(require_actor(req))
        assert refusal.value.stable_code == "token_invalid"
        assert req.context.user_id is None


def test_a_bounded_number_of_sessions_is_remembered(
    authenticator: Authenticator, read_sessions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_MAX_CACHE_ENTRIES", 2)

    callers(authenticator, 1, 2, 1, 3, 1, 3)

    assert read_sessions == [1, 2, 3, 1]


def test_a_session_is_read_again_when_its_entry_is_too_old(
    issuer: CountingIssuer, bridge: Bridge, read_sessions: list[int]
) -> None:
    callers(Authenticator(issuer, bridge, max_age=0), 1, 1, 1)

    assert read_sessions == [1, 1, 1]


def test_a_session_is_accepted_until_its_entry_has_the_maximum_age(
    authenticator: Authenticator, read_sessions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for now, reads in ((1000.0, 1), (1000.0 + HOUR - 1, 1), (1000.0 + HOUR, 2), (1001.0 + HOUR, 2)):
        monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=partial(float, now)))
        callers(authenticator, 1)

        assert len(read_sessions) == reads


def test_only_a_forgotten_session_is_read_again(authenticator: Authenticator, read_sessions: list[int]) -> None:
    callers(authenticator, 1, 2)

    authenticator.forget([1, 99])
    callers(authenticator, 1, 2)

    assert read_sessions == [1, 2, 1]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("BEARER abc", "abc"),
        ("Bearer ", None),
        ("Bearer", None),
        ("Basic abc", None),
        ("abc", None),
        (None, None),
    ],
)
def test_the_token_follows_the_name_of_the_scheme(header: str | None, token: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}

    assert bearer_token(create_asgi_req(headers=headers)) == token
