"""Accounts over HTTP: register, log in, refresh, profile and sessions."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.app import create_app
from core import security
from core.config import Settings
from core.errors import Unauthenticated
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.builders import PASSWORD

PROFILE_FIELDS = (
    "id username email email_verified pending_email full_name role is_active locale timezone "
    "weather_rule working_hours created_at updated_at"
).split()
ALICE = {"email": "alice@example.com", "password": PASSWORD}


def register(caller: Caller, **fields: object) -> requests.Response:
    return caller.post("/api/v1/auth/register", json=fields)


@pytest.fixture
def in_production(settings: Settings) -> Iterator[Caller]:
    """A client of a server with the settings of production."""
    with LiveServer(create_app(settings.model_copy(update={"app_env": "production"}))) as server:
        yield Caller(server.url)


def set_cookies(response: requests.Response) -> list[str]:
    """Return the headers `Set-Cookie` of a response, each by itself."""
    found: list[str] = response.raw.headers.getlist("Set-Cookie")
    return found


def is_deletion(set_cookie: str, name: str) -> bool:
    return set_cookie.startswith(f'{name}="";') and "01 Jan 1970" in set_cookie


class TestRegister:
    @pytest.mark.parametrize("path", ["/api/v1/auth/register", "/auth/register", "/api/v1/auth/register/"])
    def test_registering_returns_the_profile_without_the_password(self, path: str, anybody: Caller) -> None:
        response = anybody.post(path, json=ALICE | {"full_name": "Alice Archer"})

        profile = response.json()
        assert response.status_code == 201
        assert list(profile) == PROFILE_FIELDS
        assert (profile["username"], profile["email"], profile["role"]) == (ALICE["email"], ALICE["email"], "user")
        assert PASSWORD not in response.text
        assert "$2b$" not in response.text

    def test_a_username_without_email_is_enough(self, anybody: Caller) -> None:
        profile = register(anybody, username="alice", password=PASSWORD).json()

        assert (profile["username"], profile["email"]) == ("alice", None)

    @pytest.mark.parametrize("duplicate", [{"email": "ALICE@example.com"}, {"username": "alice@example.com", **ALICE}])
    def test_a_duplicate_account_gets_400(self, duplicate: dict[str, str], anybody: Caller) -> None:
        register(anybody, **ALICE)

        assert_problem(register(anybody, **(ALICE | duplicate)), 400, "account_taken")

    def test_a_refused_name_brings_nothing_of_the_account_into_the_log_of_postgresql(
        self, anybody: Caller, as_alice: Caller, bob: Actor, postgres_log: Path
    ) -> None:
        before = postgres_log.stat().st_size

        assert_problem(register(anybody, **ALICE), 400, "account_taken")
        change = {"email": "bob@example.com", "password": "an even better one", "current_password": PASSWORD}
        assert_problem(as_alice.patch("/auth/me", json=change), 400, "account_taken")

        assert b"ERROR" not in postgres_log.read_bytes()[before:]

    def test_only_one_of_ten_parallel_registrations_succeeds(self, anybody: Caller) -> None:
        with ThreadPoolExecutor(10) as pool:
            responses = list(pool.map(lambda _: register(anybody, **ALICE).status_code, range(10)))

        assert sorted(responses) == [201] + [400] * 9

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"password": PASSWORD}, {""}),
            ({"email": "no address", "password": PASSWORD}, {"email"}),
            ({"email": "a@example.com", "password": "short"}, {"password"}),
            ({"email": "a@example.com", "password": "x" * 1025}, {"password"}),
            ({"email": "a@example.com", "password": PASSWORD, "role": "admin"}, {"role"}),
            ({"email": "a@example.com", "username": "b@example.com", "password": PASSWORD}, {"username"}),
            ({"username": "two words", "password": 12345678}, {"username", "password"}),
        ],
    )
    def test_invalid_fields_are_named_and_values_are_not_repeated(
        self, body: dict[str, object], fields: set[str], anybody: Caller
    ) -> None:
        response = register(anybody, **body)

        problem = assert_problem(response, 422, "invalid")
        assert {error["field"] for error in problem["errors"]} == fields
        assert str(body["password"]) not in response.text

    def test_a_username_that_is_too_long_is_not_normalized(
        self, anybody: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The normalization of such a text takes seconds, and would delay all other requests of the process."""
        monkeypatch.setattr("api.accounts.schemas.normalized", pytest.fail)

        response = register(anybody, username="a" + "\u0316" * 1000, password=PASSWORD)

        assert invalid_fields(response) == ["username"]


class TestLogin:
    @pytest.mark.parametrize("name", [{"email": "alice@example.com"}, {"username": "alice"}, {"email": "Alice"}])
    def test_login_with_json_and_email_or_username(self, name: dict[str, str], anybody: Caller) -> None:
        register(anybody, username="alice", **ALICE)

        body = anybody.post("/api/v1/auth/login", json=name | {"password": PASSWORD}).json()

        assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
        assert list(body["user"]) == PROFILE_FIELDS
        me = anybody.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {body['access_token']}"})
        assert me.json() == body["user"]

    @pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/auth/login/", "/auth/login"])
    def test_login_with_the_form_of_the_oauth2_password_flow(self, path: str, anybody: Caller) -> None:
        register(anybody, **ALICE)
        form = {"grant_type": "password", "username": ALICE["email"], "password": PASSWORD, "scope": ""}

        response = anybody.post(path, data=form)

        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie

    def test_an_unknown_name_and_a_wrong_password_get_the_same_response(self, anybody: Caller) -> None:
        register(anybody, **ALICE)

        wrong = anybody.post("/api/v1/auth/login", json=ALICE | {"password": "wrong password"})
        unknown = anybody.post("/api/v1/auth/login", json={"email": "nobody@example.com", "password": PASSWORD})

        problems = [assert_problem(response, 401, "invalid_credentials") for response in (wrong, unknown)]
        for problem in problems:
            del problem["request_id"]
        assert problems[0] == problems[1]

    @pytest.mark.parametrize("password", ["long and strange " * 60, "pässwörd ☔ zéro", "nul \u0001 and more of it"])
    def test_long_and_strange_passwords_work(self, password: str, anybody: Caller) -> None:
        register(anybody, email="a@example.com", password=password)

        response = anybody.post("/auth/login", json={"email": "a@example.com", "password": password})

        assert response.status_code == 200

    @pytest.mark.parametrize("body", [{}, {"email": "a@example.com"}, {"email": "a", "username": "a", "password": "x"}])
    def test_an_incomplete_login_is_invalid(self, body: dict[str, str], anybody: Caller) -> None:
        assert_problem(anybody.post("/auth/login", json=body), 422, "invalid")

    def test_another_media_type_is_refused(self, anybody: Caller) -> None:
        response = anybody.post("/auth/login", data="<login/>", headers={"Content-Type": "application/xml"})

        assert response.status_code == 415
        assert response.headers["Content-Type"].startswith("application/problem+json")

    def test_an_unknown_name_costs_as_much_time_as_a_wrong_password(
        self, settings: Settings, alice: Actor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both kinds of refusal run bcrypt once with the same rounds, which takes nearly all of the time."""
        checked: list[str] = []
        verify = security.verify_password

        def record_call(password: str, password_hash: str) -> bool:
            checked.append(password_hash[:7])
            return verify(password, password_hash)

        monkeypatch.setattr(security, "verify_password", record_call)
        with LiveServer(create_app(settings)) as server:
            for name in ("alice", "nobody"):
                Caller(server.url).post("/auth/login", json={"username": name, "password": "a wrong guess"})

        assert len(checked) == 2
        assert checked[0] == checked[1]

    @pytest.mark.parametrize("password", [PASSWORD, "a wrong guess"])
    def test_the_log_line_of_a_login_has_the_account(self, password: str, anybody: Caller, alice: Actor) -> None:
        with capture_logs() as logged:
            anybody.post("/auth/login", json={"username": "alice", "password": password})

        assert [line["user_id"] for line in logged if line["event"] == "request"] == [alice.user_id]

    def test_repeated_wrong_passwords_are_delayed(self, anybody: Caller, alice: Actor, live_server: LiveServer) -> None:
        guess = {"username": "alice", "password": "a wrong guess"}

        responses: list[requests.Response] = [anybody.post("/auth/login", json=guess) for _ in range(8)]

        assert [response.status_code for response in responses[:6]] == [401] * 6
        problem = responses[-1]
        assert_problem(problem, 429, "login_delayed")
        assert int(problem.headers["Retry-After"]) >= 1


class TestTokens:
    def test_refresh_accepts_the_token_in_the_body_and_in_the_cookie(
        self, anybody: Caller, alice: Actor, issuer: TokenIssuer
    ) -> None:
        first = issuer.refresh_token(alice.session_id, 0)

        by_body = anybody.post("/api/v1/auth/refresh", json={"refresh_token": first}).json()
        by_cookie = anybody.post("/api/v1/auth/refresh", json={})

        assert by_body["refresh_token"] == issuer.refresh_token(alice.session_id, 1)
        assert by_cookie.json()["refresh_token"] == issuer.refresh_token(alice.session_id, 2)
        assert by_cookie.json()["user"]["id"] == alice.user_id

    @pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("own", 200), (None, 200)])
    def test_the_refresh_cookie_is_accepted_from_allowed_origins_only(
        self, origin: str | None, status: int, live_server: LiveServer, alice: Actor, issuer: TokenIssuer
    ) -> None:
        headers = {"Cookie": f"refresh_token={issuer.refresh_token(alice.session_id, 0)}"}
        if origin is not None:
            headers["Origin"] = live_server.url if origin == "own" else origin

        assert Caller(live_server.url).post("/auth/refresh", headers=headers).status_code == status

    @pytest.mark.parametrize(("origin", "is_set"), [("https://evil.example", False), ("null", False), ("own", True)])
    @pytest.mark.parametrize("path", ["/auth/login", "/login", "/api/v1/auth/refresh"])
    def test_a_page_of_another_origin_cannot_set_the_refresh_cookie(
        self, path: str, origin: str, is_set: bool, live_server: LiveServer, mallory: Actor, issuer: TokenIssuer
    ) -> None:
        browser = Caller(live_server.url)
        headers = {"Origin": live_server.url if origin == "own" else origin}

        if path.endswith("refresh"):
            token = {"refresh_token": issuer.refresh_token(mallory.session_id, 0)}
            response = browser.post(path, json=token, headers=headers)
        else:
            response = browser.post(path, data={"username": "mallory", "password": PASSWORD}, headers=headers)

        assert response.status_code == 200
        assert bool(set_cookies(response)) is is_set

    def test_in_production_no_other_host_can_set_the_refresh_cookie(self, in_production: Caller, alice: Actor) -> None:
        login = in_production.post("/auth/login", json={"username": "alice", "password": PASSWORD})

        first, second = set_cookies(login)
        assert first.startswith(f"__Host-refresh_token={login.json()['refresh_token']};")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(first.split("; "))
        assert "Domain" not in first
        assert is_deletion(second, "refresh_token")

    @pytest.mark.parametrize("name", ["__Host-refresh_token", "refresh_token"])
    def test_in_production_a_cookie_with_the_former_name_is_replaced(
        self, name: str, in_production: Caller, alice: Actor, issuer: TokenIssuer
    ) -> None:
        headers = {"Cookie": f"{name}={issuer.refresh_token(alice.session_id, 0)}"}

        renewed = in_production.post("/auth/refresh", headers=headers)

        assert renewed.status_code == 200
        first, second = set_cookies(renewed)
        assert first.startswith(f"__Host-refresh_token={issuer.refresh_token(alice.session_id, 1)};")
        assert is_deletion(second, "refresh_token")

    def test_of_two_cookies_that_of_this_host_counts(
        self, in_production: Caller, alice: Actor, mallory: Actor, issuer: TokenIssuer
    ) -> None:
        planted, own = (issuer.refresh_token(actor.session_id, 0) for actor in (mallory, alice))
        headers = {"Cookie": f"refresh_token={planted}; __Host-refresh_token={own}"}

        assert in_production.post("/auth/refresh", headers=headers).json()["user"]["id"] == alice.user_id

    @pytest.mark.parametrize("path", ["/api/v1/auth/logout", "/api/v1/auth/logout_all"])
    def test_a_logout_clears_what_the_browser_has_cached(self, path: str, as_alice: Caller) -> None:
        assert as_alice.post(path).headers["Clear-Site-Data"] == '"cache"'

    def test_a_logout_deletes_the_cookie_under_both_names(self, as_alice: Caller) -> None:
        former, current = sorted(set_cookies(as_alice.post("/auth/logout")), key=len)

        assert is_deletion(former, "refresh_token")
        assert is_deletion(current, "__Host-refresh_token")
        assert "Secure" in current  # Otherwise browsers ignore a cookie with this prefix.

    def test_an_access_token_is_refused_as_refresh_token(self, anybody: Caller, as_alice: Caller) -> None:
        for wrong in (as_alice.token, f"{as_alice.token}{'x' * 2000}"):
            response = anybody.post("/api/v1/auth/refresh", json={"refresh_token": wrong})

            assert_problem(response, 401, "refresh_token_invalid")

    def test_a_refused_refresh_deletes_its_cookie(
        self, live_server: LiveServer, as_alice: Caller, alice: Actor, issuer: TokenIssuer
    ) -> None:
        as_alice.post("/auth/logout")
        token = issuer.refresh_token(alice.session_id, 0)
        for refused, code in ((token, "session_revoked"), ("nonsense", "refresh_token_invalid")):
            cookie = {"Cookie": f"refresh_token={refused}"}
            response = Caller(live_server.url).post("/auth/refresh", headers=cookie)

            assert_problem(response, 401, code)
            first, second = set_cookies(response)
            assert is_deletion(first, "__Host-refresh_token")
            assert is_deletion(second, "refresh_token")

    def test_a_refused_token_in_the_body_does_not_delete_the_cookie(
        self, live_server: LiveServer, alice: Actor, issuer: TokenIssuer
    ) -> None:
        cookie = {"Cookie": f"refresh_token={issuer.refresh_token(alice.session_id, 0)}"}
        response = Caller(live_server.url).post("/auth/refresh", json={"refresh_token": "x"}, headers=cookie)

        assert_problem(response, 401, "refresh_token_invalid")
        assert "Set-Cookie" not in response.headers

    def test_a_replayed_refresh_token_ends_the_session(
        self, anybody: Caller, as_alice: Caller, alice: Actor, issuer: TokenIssuer
    ) -> None:
        tokens = [issuer.refresh_token(alice.session_id, number) for number in range(2)]
        for token in tokens:
            anybody.post("/auth/refresh", json={"refresh_token": token})

        replay = anybody.post("/auth/refresh", json={"refresh_token": tokens[0]})

        assert_problem(replay, 401, "refresh_token_reused")
        assert_problem(
            anybody.post("/auth/refresh", json={"refresh_token": issuer.refresh_token(alice.session_id, 2)}),
            401,
            "session_revoked",
        )


def test_a_session_continues_while_the_secret_key_is_replaced(settings: Settings, alice: Actor) -> None:
    former = TokenIssuer.from_settings(settings)
    changes = {
        "secret_key": SecretStr("the new key, long enough to sign with"),
        "secret_key_previous": settings.secret_key,
    }
    with LiveServer(create_app(settings.model_copy(update=changes))) as server:
        caller = Caller(server.url, former.access_token(alice.user_id, alice.session_id))
        assert caller.get("/auth/me").status_code == 200

        token = former.refresh_token(alice.session_id, 0)
        renewed = Caller(server.url).post("/auth/refresh", json={"refresh_token": token}).json()

        assert Caller(server.url, renewed["access_token"]).get("/auth/me").status_code == 200
    with pytest.raises(Unauthenticated):
        former.read_access_token(renewed["access_token"])


class TestSessions:
    def test_sessions_are_listed_and_the_current_one_is_marked(self, as_alice: Caller, alice: Actor) -> None:
        (session,) = as_alice.get("/api/v1/auth/sessions").json()

        assert set(session) == {
            "id", "ip_address", "user_agent", "created_at", "last_used_at", "expires_at", "current",
        }  # fmt: skip
        assert (session["id"], session["current"]) == (alice.session_id, True)
        assert as_alice.post("/auth/sessions/").json() == [session]

    @pytest.mark.parametrize("path", ["/api/v1/auth/logout", "/auth/logout_all/"])
    def test_logout_invalidates_the_token_immediately(self, path: str, as_alice: Caller) -> None:
        assert as_alice.get("/auth/me").status_code == 200

        assert as_alice.post(path).status_code == 204

        assert_problem(as_alice.get("/auth/me"), 401, "session_revoked")

    def test_users_can_end_their_own_sessions_only(self, as_alice: Caller, as_mallory: Caller, alice: Actor) -> None:
        path = f"/api/v1/auth/sessions/{alice.session_id}"

        assert_problem(as_mallory.delete(path), 404, "session_not_found")
        assert as_alice.delete(path).status_code == 204
        assert_problem(as_alice.get("/auth/me"), 401, "session_revoked")


class TestProfile:
    @pytest.mark.parametrize("path", ["/api/v1/auth/me", "/api/v1/users/me", "/api/v1/users/about_me/", "/auth/me"])
    def test_a_profile_is_read_and_changed(self, path: str, as_alice: Caller) -> None:
        change = {"full_name": "Alice A.", "locale": "de", "timezone": "Europe/Berlin", "email": "a@example.org"}

        changed = as_alice.patch(path, json=change | {"current_password": PASSWORD}).json()

        assert changed | change == changed
        assert as_alice.get(path).json() == changed

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"timezone": "Mars/Olympus"}, "timezone"),
            ({"timezone": "localtime"}, "timezone"),
            ({"locale": "deutsch"}, "locale"),
            ({"role": "admin"}, "role"),
            ({"is_active": False}, "is_active"),
            ({"password": "a new password"}, "current_password"),
            ({"password": "a new password", "current_password": "not it"}, "current_password"),
        ],
    )
    def test_invalid_profile_fields_are_named(self, body: dict[str, object], field: str, as_alice: Caller) -> None:
        problem = assert_problem(as_alice.patch("/auth/me", json=body), 422, "invalid")

        assert [error["field"] for error in problem["errors"]] == [field]

    def test_an_email_that_is_the_only_name_cannot_be_cleared(self, live_server: LiveServer, anybody: Caller) -> None:
        register(anybody, email="carol@example.com", password=PASSWORD)
        login = anybody.post("/auth/login", json={"email": "carol@example.com", "password": PASSWORD})
        carol = Caller(live_server.url, login.json()["access_token"])

        refused = carol.patch("/auth/me", json={"email": None, "current_password": PASSWORD})
        change = {"email": None, "username": "carol", "current_password": PASSWORD}
        accepted = carol.patch("/auth/me", json=change)

        assert invalid_fields(refused) == ["email"]
        assert (accepted.status_code, accepted.json()["email"], accepted.json()["username"]) == (200, None, "carol")

    def test_the_email_of_another_account_is_refused(self, as_alice: Caller, mallory: Actor) -> None:
        change = {"email": "MALLORY@example.com", "current_password": PASSWORD}

        assert_problem(as_alice.patch("/auth/me", json=change), 400, "account_taken")

    def test_a_new_password_replaces_the_old_one(
        self, as_alice: Caller, anybody: Caller, caller_for: Callable[[Actor], Caller]
    ) -> None:
        change = {"password": "an even better one", "current_password": PASSWORD}

        assert as_alice.patch("/auth/me", json=change).status_code == 200

        logins = [anybody.post("/auth/login", json={"email": "alice", "password": word}) for word in change.values()]
        assert [login.status_code for login in logins] == [200, 401]
        assert as_alice.get("/auth/me").status_code == 200
