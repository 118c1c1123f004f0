"""Forgotten passwords over HTTP: the link by mail, the new password by JSON and on the page, and what ends with it."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from redis import Redis
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import create_app
from core import security
from core.config import Settings
from core.db import unit_of_work
from core.policy import Actor
from core.security import TokenIssuer
from core.services import account_mails
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.api.mailbox import sending_mails
from tests.api.realtime import publish
from tests.api.test_audit import actions, entries
from tests.builders import PASSWORD
from tests.doubles.smtp import MailServer
from tests.job_context import job_context
from tests.polling import wait_until
from tests.sql import execute

FORGOT, RESET = "/api/v1/auth/password/forgot", "/api/v1/auth/password/reset"
ALICE = "alice@example.com"
NEW = "an even better one"
REQUESTER = {"X-Request-ID": "r-7"}


class Office:
    """A server with mail set up, and the worker's part of the mails, which a test starts by `deliver()`."""

    def __init__(self, settings: Settings, redis: Redis, mail_server: MailServer, url: str) -> None:
        self.anybody = Caller(url)
        self.url = url
        self._mail_server = mail_server
        self._context = job_context(settings, redis)

    def deliver(self) -> list[Any]:
        """Do the work of the worker for all mails about accounts that wait; return those that were sent."""
        before = len(self._mail_server.mails)
        for (mail_id,) in execute("SELECT id FROM account_mails WHERE mail_status = 'pending' ORDER BY id").fetchall():
            account_mails.send(self._context, mail_id)
        return self._mail_server.mails[before:]

    def forget(self, email: str = ALICE, **options: Any) -> requests.Response:
        return self.anybody.post(FORGOT, json={"email": email}, **options)

    def mailed_token(self, email: str = ALICE) -> str:
        """Ask for a link and return the token in the mail."""
        assert self.forget(email).status_code == 202
        (mail,) = self.deliver()
        return token_in(mail)

    def reset(self, token: str, password: str = NEW) -> requests.Response:
        return self.anybody.post(RESET, json={"token": token, "password": password})

    def reset_by_form(self, token: str, password: str = NEW, **headers: str) -> requests.Response:
        return self.anybody.post(RESET, data={"token": token, "password": password}, headers=headers)

    def log_in(self, password: str, name: str = "alice") -> requests.Response:
        return self.anybody.post("/auth/login", json={"username": name, "password": password})


def token_in(mail: Any) -> str:
    (token,) = re.findall(r"password/reset\?token=(\S+)", mail.get_content())
    return str(token)


@pytest.fixture
def mail_settings(settings: Settings, mail_server: MailServer) -> Settings:
    return sending_mails(settings, mail_server)


@pytest.fixture
def office(mail_settings: Settings, redis: Redis, mail_server: MailServer, mailing_server: LiveServer) -> Office:
    return Office(mail_settings, redis, mail_server, mailing_server.url)


@pytest.fixture
def mailing_ada(office: Office, ada: Actor, issuer: TokenIssuer) -> Caller:
    """A client of an admin for the server with mail set up."""
    return Caller(office.url, issuer.access_token(ada.user_id, ada.session_id))


def change_account(actor: Actor, assignment: str) -> None:
    with unit_of_work():
        execute(f"UPDATE users SET {assignment} WHERE id = %s", (actor.user_id,))


class TestAsking:
    def test_the_link_in_the_mail_leads_to_a_new_password(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()

        assert office.reset(token).status_code == 204

        assert office.log_in(NEW).status_code == 200
        assert office.log_in(PASSWORD).status_code == 401

    def test_the_response_is_the_same_for_every_address(
        self, office: Office, alice: Actor, bob: Actor, mallory: Actor
    ) -> None:
        change_account(bob, "email_verified_at = NULL")
        change_account(mallory, "is_active = false")
        names = ("alice", "bob", "mallory", "nobody")
        responses = [office.forget(f"{name}@example.com", headers=REQUESTER) for name in names]

        varying = dict.fromkeys(("date", "ratelimit-remaining", "ratelimit-reset"), "")
        described = {(reply.status_code, reply.text, str({**reply.headers} | varying)) for reply in responses}

        assert len(described) == 1
        assert responses[0].status_code == 202

    def test_only_a_confirmed_address_of_an_active_account_gets_a_mail(
        self, office: Office, bob: Actor, mallory: Actor
    ) -> None:
        change_account(bob, "email_verified_at = NULL")
        change_account(mallory, "is_active = false")
        for name in ("bob", "mallory", "nobody"):
            office.forget(f"{name}@example.com")

        assert office.deliver() == []
        assert execute("SELECT count(*) FROM account_mails").fetchone() == (0,)

    def test_the_mail_goes_to_the_address_of_the_account_however_it_was_typed(
        self, office: Office, alice: Actor
    ) -> None:
        office.forget("\uff21LICE@EXAMPLE.com")

        (mail,) = office.deliver()

        assert mail["To"] == ALICE

    def test_the_mail_is_in_the_language_of_the_account(self, office: Office, alice: Actor) -> None:
        change_account(alice, "locale = 'fr'")
        promise = office.forget(headers={"Accept-Language": "de"})

        (mail,) = office.deliver()

        assert promise.headers["Content-Language"] == "de"
        assert "Bestätig" in promise.json()["detail"] or "bestätig" in promise.json()["detail"]
        assert mail["Content-Language"] == "fr"

    def test_an_account_gets_three_mails_an_hour(self, office: Office, alice: Actor, as_ada: Caller) -> None:
        for _ in range(5):
            assert office.forget().status_code == 202
            office.deliver()

        sent = execute("SELECT count(*) FROM account_mails WHERE mail_status = 'sent'").fetchone()
        requested = [entry for entry in entries(as_ada, alice.user_id) if entry["action"] == "password.reset_requested"]
        assert sent == (3,)
        assert [entry["details"]["refused"] for entry in requested] == ["too many"] * 2 + [None] * 3

    def test_a_request_is_audited_with_where_it_came_from(self, office: Office, alice: Actor, as_ada: Caller) -> None:
        office.forget(headers=REQUESTER)
        office.deliver()

        entry = entries(as_ada, alice.user_id)[0]

        assert (entry["action"], entry["details"]) == ("password.reset_requested", {"refused": None})
        assert (entry["ip_address"], entry["request_id"]) == ("127.0.0.1", "r-7")

    def test_requests_count_as_logins(self, mail_settings: Settings, alice: Actor) -> None:
        with LiveServer(create_app(mail_settings.model_copy(update={"rate_limit_credentials": "2/minute"}))) as server:
            caller = Caller(server.url)
            statuses = [caller.post(FORGOT, json={"email": ALICE}).status_code for _ in range(3)]

        assert statuses == [202, 202, 429]

    def test_an_address_that_is_none_gets_422(self, office: Office) -> None:
        assert invalid_fields(office.forget("alice")) == ["email"]

    def test_without_mail_nothing_is_stored(self, anybody: Caller, alice: Actor) -> None:
        assert anybody.post(FORGOT, json={"email": ALICE}).status_code == 202
        assert execute("SELECT count(*) FROM account_mails").fetchone() == (0,)


class TestTheLink:
    @pytest.mark.parametrize(
        "ending",
        [
            "UPDATE account_links SET expires_at = now()",
            "UPDATE users SET is_active = false",
            "UPDATE users SET email = 'new@example.com', email_key = 'new@example.com'",
        ],
    )
    def test_a_link_that_has_ended_is_refused(self, ending: str, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        with unit_of_work():
            execute(ending)

        assert_problem(office.reset(token), 400, "link_invalid")

    def test_it_is_valid_for_thirty_minutes(self, office: Office, alice: Actor) -> None:
        office.mailed_token()

        (lifetime,) = execute("SELECT expires_at - created_at FROM account_links").fetchone()

        assert timedelta(minutes=29, seconds=59) < lifetime <= timedelta(minutes=30, seconds=1)

    @pytest.mark.parametrize(
        "change", [{"password": "yet another one"}, {"email": "new@example.com"}], ids=["password", "email"]
    )
    def test_changing_the_password_or_the_email_ends_it(
        self, change: dict[str, str], office: Office, as_alice: Caller
    ) -> None:
        token = office.mailed_token()

        assert as_alice.patch("/auth/me", json=change | {"current_password": PASSWORD}).status_code == 200

        assert_problem(office.reset(token), 400, "link_invalid")

    def test_it_is_used_once(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        office.reset(token)

        assert_problem(office.reset(token, "yet another one"), 400, "link_invalid")
        assert office.log_in(NEW).status_code == 200

    def test_of_two_simultaneous_uses_one_wins(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        passwords = [f"a better one, number {number}" for number in range(6)]

        with ThreadPoolExecutor(6) as pool:
            responses = list(pool.map(lambda password: office.reset(token, password).status_code, passwords))

        assert responses.count(204) == 1
        assert set(responses) <= {204, 400, 429}
        assert office.log_in(passwords[responses.index(204)]).status_code == 200

    def test_a_new_link_ends_the_earlier_one(self, office: Office, alice: Actor) -> None:
        first, second = office.mailed_token(), office.mailed_token()

        assert_problem(office.reset(first), 400, "link_invalid")
        assert office.reset(second).status_code == 204

    @pytest.mark.parametrize("forged", ["x", "1.00.é", "{id}.{nonce}.{other}", "{bob}.{nonce}.{signature}"])
    def test_a_forged_token_is_refused(self, forged: str, office: Office, alice: Actor, bob: Actor) -> None:
        other = office.mailed_token("bob@example.com").split(".")
        number, nonce, signature = office.mailed_token().split(".")
        token = forged.format(id=number, nonce=nonce, signature=signature, other=other[2], bob=other[0])

        assert_problem(office.reset(token), 400, "link_invalid")
        assert office.log_in(PASSWORD).status_code == 200

    def test_a_weak_password_is_refused_and_the_link_remains(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()

        refused = [office.reset(token, password) for password in ("short", "password123", "alice is my name")]

        assert [invalid_fields(response) for response in refused] == [["password"]] * 3
        assert office.reset(token).status_code == 204

    def test_nothing_is_hashed_without_a_link(
        self, office: Office, alice: Actor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(security, "hash_password", pytest.fail)

        assert_problem(office.reset("1.00.x"), 400, "link_invalid")
        assert office.reset_by_form("1.00.x").status_code == 400


class TestWhatEnds:
    def test_sessions_tokens_and_sockets_end(
        self, office: Office, as_alice: Caller, alice: Actor, issuer: TokenIssuer, redis: Redis
    ) -> None:
        body = {"name": "ci", "scopes": ["tasks:read"], "expires_in_days": 30}
        personal = as_alice.post("/api/v1/auth/tokens", json=body).json()["token"]
        session = issuer.access_token(alice.user_id, alice.session_id)
        for token in (personal, session):
            assert Caller(office.url, token).get("/api/v1/tasks").status_code == 200
        headers = {"Authorization": f"Bearer {session}"}
        with connect(f"{office.url.replace('http', 'ws')}/ws", additional_headers=headers) as socket:
            assert '"ready"' in str(socket.recv(timeout=10))

            assert office.reset(office.mailed_token()).status_code == 204
            publish(redis)

            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        for token in (personal, session):
            assert_problem(Caller(office.url, token).get("/api/v1/tasks"), 401, "session_revoked")

    def test_other_processes_learn_of_it(self, office: Office, as_alice: Caller, alice: Actor, redis: Redis) -> None:
        assert as_alice.get("/auth/me").status_code == 200

        office.reset(office.mailed_token())
        publish(redis)

        wait_until(lambda: as_alice.get("/auth/me").status_code == 401)

    def test_failed_logins_no_longer_delay_the_owner(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        while office.log_in("a wrong guess").status_code != 429:
            pass

        assert office.reset(token).status_code == 204

        assert office.log_in(NEW).status_code == 200

    def test_a_change_of_the_email_that_has_begun_ends(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        change_account(alice, "pending_email = 'mallory@example.com'")
        with unit_of_work():
            execute(
                "INSERT INTO account_links (user_id, purpose, email, nonce, expires_at)"
                " VALUES (%s, 'verify_email', 'mallory@example.com', 'x', now() + interval '1 day')",
                (alice.user_id,),
            )

        assert office.reset(token).status_code == 204

        assert execute("SELECT pending_email FROM users").fetchone() == (None,)
        assert execute(
            "SELECT count(*) FROM account_links WHERE expires_at > now() AND used_at IS NULL"
        ).fetchone() == (0,)

    def test_the_owner_is_told_and_the_audit_log_has_it(self, office: Office, alice: Actor, as_ada: Caller) -> None:
        office.reset(office.mailed_token())

        (mail,) = office.deliver()

        assert (mail["To"], mail["Subject"]) == (ALICE, "Your password was replaced")
        assert actions(as_ada, alice.user_id)[0] == "password.reset"


class TestSecrecy:
    def test_neither_log_nor_audit_nor_events_have_the_token_or_the_address(
        self, office: Office, alice: Actor, as_ada: Caller, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        with capture_logs() as lines:
            office.forget("nobody@example.com")
            token = office.mailed_token()
            office.anybody.get(RESET, params={"token": token})
            office.reset(token)
            office.deliver()
            wait_until(lambda: [line for line in lines if line.get("route") == RESET and line["method"] == "POST"])
        # The mail server of the test runs in this process too, and logs what it receives. Pytest also captures records
        # that reach no handler of the application, because their logger does not propagate them.
        written = [
            record.getMessage()
            for record in caplog.records
            if record.name != "mail.log" and logging.getLogger(record.name).propagate
        ]
        logged = f"{lines} {written}"
        stored = as_ada.get("/api/v1/audit").text + str(execute("SELECT data::text FROM events").fetchall())

        for secret in (token, token.split(".")[2], NEW, ALICE, "nobody@example.com"):
            assert secret not in logged
        for secret in (token.split(".")[2], NEW, "nobody@example.com"):
            assert secret not in stored


class TestThePage:
    def test_it_shows_a_form_and_keeps_the_secret_of_its_address(self, office: Office, alice: Actor) -> None:
        page = office.anybody.get(RESET, params={"token": office.mailed_token()})

        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert '<form method="post" action="reset">' in page.text
        assert 'type="password" autocomplete="new-password"' in page.text
        assert f'autocomplete="username" value="{ALICE}" readonly' in page.text
        assert "script" not in page.headers["Content-Security-Policy"]
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"

    def test_opening_it_does_not_use_up_the_link(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        for _ in range(2):
            assert office.anybody.get(RESET, params={"token": token}).status_code == 200

        assert office.reset(token).status_code == 204

    @pytest.mark.parametrize("query", ["", "?token=", "?token=1.00.x", "?token=%22%3E%3Cscript%3E"])
    def test_a_link_that_is_not_valid_shows_no_form(self, query: str, office: Office) -> None:
        page = office.anybody.get(RESET + query)

        assert page.status_code == 400
        assert "This link is not valid" in page.text
        assert "<form" not in page.text
        assert "<script" not in page.text

    def test_its_form_replaces_the_password(self, office: Office, alice: Actor) -> None:
        done = office.reset_by_form(office.mailed_token())

        assert done.status_code == 200
        assert "Your password is replaced." in done.text
        assert "<form" not in done.text
        assert office.log_in(NEW).status_code == 200

    @pytest.mark.parametrize(
        ("password", "problem"),
        [
            ("short", "The password must have a length of at least 8."),
            ("password123", "The password is one of the most common passwords"),
            ("", "The password must have a length of at least 8."),
        ],
    )
    def test_it_says_what_is_wrong_with_a_password(
        self, password: str, problem: str, office: Office, alice: Actor
    ) -> None:
        token = office.mailed_token()

        refused = office.reset_by_form(token, password)

        assert refused.status_code == 422
        assert problem in refused.text
        assert f'value="{token}"' in refused.text
        assert '<p id="error" role="alert">' in refused.text
        assert 'required aria-describedby="error" aria-invalid="true" autofocus' in refused.text
        assert office.reset_by_form(token).status_code == 200

    def test_it_says_that_a_link_was_used(self, office: Office, alice: Actor) -> None:
        token = office.mailed_token()
        office.reset(token)

        again = office.reset_by_form(token, "yet another one")

        assert again.status_code == 400
        assert "This link is not valid" in again.text
        assert "<form" not in again.text

    @pytest.mark.parametrize(
        ("language", "title"),
        [
            ("en", "Choose a new password"),
            ("de", "Wählen Sie ein neues Passwort"),
            ("es", "Elija una nueva contraseña"),
            ("fr", "Choisissez un nouveau mot de passe"),
            ("ru", "Выберите новый пароль"),
        ],
    )
    def test_it_is_in_the_language_of_its_reader(self, language: str, title: str, office: Office, alice: Actor) -> None:
        headers = {"Accept-Language": language}
        token = office.mailed_token()

        page = office.anybody.get(RESET, params={"token": token}, headers=headers)
        refused = office.reset_by_form(token, "short", **headers)

        assert page.headers["Content-Language"] == refused.headers["Content-Language"] == language
        assert f"<h1>{title}</h1>" in page.text
        assert ("The password" in refused.text) == (language == "en")


class TestByAnAdmin:
    def path(self, actor: Actor) -> str:
        return f"/api/v1/users/{actor.user_id}/password_reset"

    def test_a_link_goes_to_an_address_that_is_not_confirmed(
        self, office: Office, mailing_ada: Caller, alice: Actor, ada: Actor
    ) -> None:
        change_account(alice, "email_verified_at = NULL")

        sent = mailing_ada.post(self.path(alice))
        (mail,) = office.deliver()

        assert (sent.status_code, sent.text, mail["To"]) == (202, "", ALICE)
        assert entries(mailing_ada, alice.user_id)[0]["actor_id"] == ada.user_id
        assert office.reset(token_in(mail)).status_code == 204
        assert execute(
            "SELECT email_verified_at IS NOT NULL FROM users WHERE id = %s", (alice.user_id,)
        ).fetchone() == (True,)

    @pytest.mark.parametrize(
        ("change", "code"), [("email = NULL", "email_missing"), ("is_active = false", "account_disabled")]
    )
    def test_it_says_why_no_link_is_sent(
        self, change: str, code: str, mailing_ada: Caller, office: Office, alice: Actor
    ) -> None:
        change_account(alice, change)

        assert_problem(mailing_ada.post(self.path(alice)), 409, code)
        assert office.deliver() == []

    def test_it_needs_mail_to_be_set_up(self, as_ada: Caller, alice: Actor) -> None:
        assert_problem(as_ada.post(self.path(alice)), 409, "mail_not_set_up")

    def test_an_unknown_account_gets_404(self, mailing_ada: Caller) -> None:
        assert_problem(mailing_ada.post("/api/v1/users/999999/password_reset"), 404, "account_not_found")

    def test_others_may_not(self, as_mallory: Caller, as_alice: Caller, anybody: Caller, alice: Actor) -> None:
        assert_problem(as_mallory.post(self.path(alice)), 403, "admin_required")
        assert_problem(as_alice.post(self.path(alice)), 403, "admin_required")
        assert anybody.post(self.path(alice)).status_code == 401


def test_the_mails_link_may_lead_to_the_clients_own_page(
    mail_settings: Settings, redis: Redis, mail_server: MailServer, alice: Actor
) -> None:
    own_page = mail_settings.model_copy(update={"password_reset_url": "https://tasks.example.com/new?from=mail"})
    with LiveServer(create_app(own_page)) as server:
        office = Office(own_page, redis, mail_server, server.url)
        office.forget()
        (mail,) = office.deliver()
        (token,) = re.findall(r"https://tasks\.example\.com/new\?from=mail&token=(\S+)", mail.get_content())

        assert office.reset(token).status_code == 204


def test_the_worker_that_finds_the_account_and_dies_makes_no_second_link(
    office: Office, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.forget()
    with monkeypatch.context() as patch:
        patch.setattr("core.smtp.SmtpServer.send", lambda *_: (_ for _ in ()).throw(SystemExit))
        pytest.raises(SystemExit, office.deliver)
    with unit_of_work():
        execute("UPDATE account_mails SET mail_next_attempt_at = now()")

    (mail,) = office.deliver()

    assert execute("SELECT count(*) FROM account_links").fetchone() == (1,)
    assert office.reset(token_in(mail)).status_code == 204
