"""Addresses are proved by a mail, over HTTP and SMTP: after a registration, and before a new address replaces one."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from core.db import unit_of_work
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.api.mailbox import Mailbox
from tests.api.test_audit import entries
from tests.builders import PASSWORD
from tests.sql import execute

VERIFY = "/api/v1/auth/email/verify"
RESEND = "/api/v1/auth/email/resend"
ME = "/api/v1/auth/me"
NEW = "new@example.com"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}

Callers = Callable[[Actor], Caller]


@pytest.fixture
def callers(mailing_server: LiveServer, issuer: TokenIssuer, mailbox: Mailbox) -> Callers:
    """A function that makes clients of a server that sends mails; its mails of earlier tests are gone."""
    return lambda actor: Caller(mailing_server.url, issuer.access_token(actor.user_id, actor.session_id))


@pytest.fixture
def owner(callers: Callers, alice: Actor) -> Caller:
    """Alice, whose address `alice@example.com` is verified."""
    return callers(alice)


@pytest.fixture
def stranger(callers: Callers, mallory: Actor) -> Caller:
    return callers(mallory)


@pytest.fixture
def visitor(mailing_server: LiveServer, mailbox: Mailbox) -> Caller:
    """A client of the same server, without a token."""
    return Caller(mailing_server.url)


def register(visitor: Caller, path: str = "/api/v1/auth/register", **account: Any) -> requests.Response:
    response = visitor.post(path, json={"email": NEW, "password": PASSWORD} | account)
    assert response.status_code == 201, response.text
    return response


def logged_in(visitor: Caller, name: str = NEW) -> Caller:
    grant = visitor.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD}).json()
    host, port = visitor.address
    return Caller(f"http://{host}:{port}", grant["access_token"])


def change_email(caller: Caller, email: str | None = NEW, **more: Any) -> requests.Response:
    return caller.patch(ME, json={"email": email, "current_password": PASSWORD} | more)


def addresses(caller: Caller) -> tuple[str | None, bool, str | None]:
    profile = caller.get(ME).json()
    return profile["email"], profile["email_verified"], profile["pending_email"]


def make_links_older(interval: str) -> None:
    with unit_of_work():
        execute(f"UPDATE account_links SET created_at = created_at - interval '{interval}'")


class TestRegistration:
    @pytest.mark.parametrize(
        ("path", "more"), [("/api/v1/auth/register", {}), ("/auth/register", {}), ("/user", {"name": "New"})]
    )
    def test_every_registration_mails_a_link_that_proves_the_address(
        self, path: str, more: dict[str, str], visitor: Caller, mailbox: Mailbox
    ) -> None:
        register(visitor, path, **more)
        newcomer = logged_in(visitor)
        assert addresses(newcomer) == (NEW, False, None)

        assert visitor.post(VERIFY, json={"token": mailbox.token(NEW)}).status_code == 204

        assert addresses(newcomer) == (NEW, True, None)
        assert len(mailbox.mails_to(NEW)) == 1

    def test_the_mail_is_in_the_language_of_the_browser(self, visitor: Caller, mailbox: Mailbox) -> None:
        headers = {"Accept-Language": "de-AT"}
        visitor.post("/api/v1/auth/register", json={"email": NEW, "password": PASSWORD}, headers=headers)

        (mail,) = mailbox.mails_to(NEW)
        assert mail["Subject"] == "Bitte bestätigen Sie Ihre E-Mail-Adresse"

    def test_nothing_of_the_account_is_in_the_mail(self, visitor: Caller, mailbox: Mailbox) -> None:
        """Whoever registers chooses these texts, and the address may belong to a stranger."""
        register(visitor, username="buy-at-evil.example", full_name="Buy at evil.example")

        assert "evil" not in str(mailbox.mails_to(NEW)[0])

    def test_without_a_mail_server_no_link_is_made(self, anybody: Caller) -> None:
        register(anybody)

        assert execute("SELECT count(*) FROM account_links").fetchone() == (0,)

    def test_an_account_without_an_email_gets_no_mail(self, visitor: Caller) -> None:
        visitor.post("/api/v1/auth/register", json={"username": "nameless", "password": PASSWORD})

        assert execute("SELECT count(*) FROM account_mails").fetchone() == (0,)
        assert_problem(logged_in(visitor, "nameless").post(RESEND), 400, "nothing_to_verify")


class TestProof:
    @pytest.fixture
    def newcomer(self, visitor: Caller) -> Caller:
        register(visitor)
        return logged_in(visitor)

    def test_a_link_works_once(self, newcomer: Caller, visitor: Caller, mailbox: Mailbox) -> None:
        token = mailbox.token(NEW)
        visitor.post(VERIFY, json={"token": token})

        assert_problem(visitor.post(VERIFY, json={"token": token}), 400, "link_invalid")
        assert addresses(newcomer) == (NEW, True, None)

    def test_of_simultaneous_proofs_one_succeeds(self, newcomer: Caller, visitor: Caller, mailbox: Mailbox) -> None:
        host, port = visitor.address
        token, code = mailbox.token(NEW), mailbox.code(NEW)
        proofs = [
            (Caller(f"http://{host}:{port}", newcomer.token), proof) for proof in ({"token": token}, {"code": code}) * 4
        ]

        with ThreadPoolExecutor(len(proofs)) as pool:
            statuses = list(pool.map(lambda proof: proof[0].post(VERIFY, json=proof[1]).status_code, proofs))

        assert sorted(statuses) == [204] + [400] * (len(proofs) - 1)
        assert [entry["action"] for entry in _audit_of(NEW)].count("email.verified") == 1

    def test_the_code_needs_the_login_of_its_account(
        self, newcomer: Caller, visitor: Caller, stranger: Caller, mailbox: Mailbox
    ) -> None:
        code = mailbox.code(NEW)

        assert_problem(visitor.post(VERIFY, json={"code": code}), 401, "token_missing")
        assert_problem(stranger.post(VERIFY, json={"code": code}), 400, "code_invalid")
        assert newcomer.post(VERIFY, json={"code": f"{code[:4]} {code[4:]}"}).status_code == 204
        assert addresses(newcomer) == (NEW, True, None)

    def test_after_five_wrong_codes_only_the_link_works(
        self, newcomer: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        right = mailbox.code(NEW)
        wrong = "1" + right[1:] if right[0] != "1" else "2" + right[1:]
        for _ in range(5):
            assert_problem(newcomer.post(VERIFY, json={"code": wrong}), 400, "code_invalid")

        assert_problem(newcomer.post(VERIFY, json={"code": right}), 400, "code_invalid")
        assert visitor.post(VERIFY, json={"token": mailbox.token(NEW)}).status_code == 204

    def test_a_personal_token_proves_nothing(self, newcomer: Caller, mailbox: Mailbox) -> None:
        made = newcomer.post("/api/v1/auth/tokens", json={"name": "x", "scopes": ["tasks:read"]}).json()["token"]
        host, port = newcomer.address

        refused = Caller(f"http://{host}:{port}", made).post(VERIFY, json={"code": mailbox.code(NEW)})

        assert_problem(refused, 403, "login_required")

    def test_an_expired_link_and_its_code_are_refused(
        self, newcomer: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        token, code = mailbox.token(NEW), mailbox.code(NEW)
        (hours,) = execute(
            "SELECT round(extract(epoch FROM expires_at - created_at) / 3600) FROM account_links"
        ).fetchone()
        with unit_of_work():
            execute("UPDATE account_links SET expires_at = now()")

        assert hours == 24
        assert_problem(visitor.post(VERIFY, json={"token": token}), 400, "link_invalid")
        assert_problem(newcomer.post(VERIFY, json={"code": code}), 400, "code_invalid")
        assert addresses(newcomer) == (NEW, False, None)

    @pytest.mark.parametrize(
        "change", [lambda token: token[:-1] + "~", lambda token: "1" + token, lambda _: "", lambda _: "1.00.x"]
    )
    def test_a_forged_token_is_refused(
        self, change: Callable[[str], str], newcomer: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        assert_problem(visitor.post(VERIFY, json={"token": change(mailbox.token(NEW))}), 400, "link_invalid")

    def test_the_link_of_a_disabled_account_is_refused(
        self, newcomer: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        token = mailbox.token(NEW)
        with unit_of_work():
            execute("UPDATE users SET is_active = false WHERE email = %s", (NEW,))

        assert_problem(visitor.post(VERIFY, json={"token": token}), 400, "link_invalid")

    @pytest.mark.parametrize("body", [{}, {"token": "x", "code": "1"}])
    def test_either_a_token_or_a_code_is_needed(self, body: dict[str, str], visitor: Caller) -> None:
        assert_problem(visitor.post(VERIFY, json=body), 422, "invalid")


class TestPage:
    def test_opening_the_link_changes_nothing_and_its_button_proves_the_address(
        self, visitor: Caller, mailbox: Mailbox
    ) -> None:
        register(visitor)
        newcomer = logged_in(visitor)

        page = visitor.get(f"{VERIFY}?token={mailbox.token(NEW)}", headers=BROWSER)
        unchanged = addresses(newcomer)
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
        (action,) = re.findall(r'<form method="post" action="([^"]*)">', page.text)
        done = visitor.post(action, data=fields, headers=BROWSER)

        assert unchanged == (NEW, False, None)
        assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
        assert "script" not in page.headers["Content-Security-Policy"]
        assert (done.status_code, "is confirmed" in done.text) == (200, True)
        assert addresses(newcomer) == (NEW, True, None)

    def test_a_link_that_is_not_valid_gets_a_page_that_says_so(self, visitor: Caller) -> None:
        answer = visitor.post(VERIFY, data={"token": "x"}, headers=BROWSER | {"Accept-Language": "de"})

        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Dieser Link ist nicht oder nicht mehr gültig." in answer.text

    def test_the_token_is_escaped_in_the_page(self, visitor: Caller) -> None:
        page = visitor.get(f'{VERIFY}?token="><script>alert(1)</script>', headers=BROWSER)

        assert "<script" not in page.text


class TestResending:
    @pytest.fixture
    def newcomer(self, visitor: Caller, mailbox: Mailbox) -> Caller:
        register(visitor)
        mailbox.mails_to(NEW)
        return logged_in(visitor)

    def test_a_further_mail_replaces_the_first_link(self, newcomer: Caller, visitor: Caller, mailbox: Mailbox) -> None:
        first = mailbox.token(NEW)
        make_links_older("61 seconds")

        assert newcomer.post(RESEND).status_code == 204

        second = mailbox.token(NEW)
        assert_problem(visitor.post(VERIFY, json={"token": first}), 400, "link_invalid")
        assert visitor.post(VERIFY, json={"token": second}).status_code == 204

    def test_a_further_mail_is_in_the_language_of_the_request(self, newcomer: Caller, mailbox: Mailbox) -> None:
        make_links_older("61 seconds")

        newcomer.post(RESEND, headers={"Accept-Language": "fr"})

        assert mailbox.mails_to(NEW)[-1]["Subject"] == "Veuillez confirmer votre adresse électronique"

    def test_at_most_one_mail_a_minute(self, newcomer: Caller, mailbox: Mailbox) -> None:
        refused = newcomer.post(RESEND)

        assert_problem(refused, 429, "too_many_mails")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert len(mailbox.mails_to(NEW)) == 1

    def test_at_most_five_further_mails_a_day(self, newcomer: Caller, mailbox: Mailbox) -> None:
        for _ in range(5):
            make_links_older("61 seconds")
            assert newcomer.post(RESEND).status_code == 204
            mailbox.mails_to(NEW)
        make_links_older("61 seconds")

        refused = newcomer.post(RESEND)

        assert_problem(refused, 429, "too_many_mails")
        assert 80_000 <= int(refused.headers["Retry-After"]) <= 86_400
        assert len(mailbox.mails_to(NEW)) == 6
        make_links_older("1 day")
        assert newcomer.post(RESEND).status_code == 204

    def test_simultaneous_requests_send_one_mail(self, newcomer: Caller, mailbox: Mailbox) -> None:
        make_links_older("61 seconds")
        host, port = newcomer.address
        copies = [Caller(f"http://{host}:{port}", newcomer.token) for _ in range(6)]

        with ThreadPoolExecutor(len(copies)) as pool:
            statuses = sorted(pool.map(lambda copy: copy.post(RESEND).status_code, copies))

        assert statuses == [204] + [429] * 5
        assert len(mailbox.mails_to(NEW)) == 2

    def test_a_verified_address_gets_no_further_mail(self, owner: Caller) -> None:
        assert_problem(owner.post(RESEND), 400, "nothing_to_verify")

    def test_without_a_mail_server_the_response_says_so(self, as_alice: Caller) -> None:
        assert_problem(as_alice.post(RESEND), 409, "mail_not_set_up")


class TestChangingTheAddress:
    def test_the_new_address_waits_for_its_proof_and_the_old_one_is_told(
        self, owner: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        assert change_email(owner).json()["pending_email"] == NEW
        assert addresses(owner) == ("alice@example.com", True, NEW)
        (warning,) = mailbox.mails_to("alice@example.com")
        assert NEW in warning.get_content()

        visitor.post(VERIFY, json={"token": mailbox.token(NEW)})

        assert addresses(owner) == (NEW, True, None)
        assert [mail["Subject"] for mail in mailbox.mails_to("alice@example.com")] == [
            "The email address of your account is to change",
            "The email address of your account has changed",
        ]
        assert len(mailbox.mails_to(NEW)) == 1

    def test_the_code_works_too(self, owner: Caller, mailbox: Mailbox) -> None:
        change_email(owner)

        assert owner.post(VERIFY, json={"code": mailbox.code(NEW)}).status_code == 204
        assert addresses(owner) == (NEW, True, None)

    def test_a_username_that_is_the_email_changes_with_it(self, visitor: Caller, mailbox: Mailbox) -> None:
        register(visitor, email="first@example.com")
        newcomer = logged_in(visitor, "first@example.com")
        change_email(newcomer, NEW)
        assert newcomer.get(ME).json()["username"] == "first@example.com"

        visitor.post(VERIFY, json={"token": mailbox.token(NEW)})

        assert newcomer.get(ME).json()["username"] == NEW
        assert addresses(logged_in(visitor, NEW)) == (NEW, True, None)

    def test_an_old_address_that_was_never_proved_gets_no_mail(self, visitor: Caller, mailbox: Mailbox) -> None:
        register(visitor, email="victim@example.com")
        first_mails = len(mailbox.mails_to("victim@example.com"))
        change_email(logged_in(visitor, "victim@example.com"), NEW)
        visitor.post(VERIFY, json={"token": mailbox.token(NEW)})

        assert len(mailbox.mails_to("victim@example.com")) == first_mails == 1

    def test_the_address_goes_to_the_first_who_proves_it(
        self, owner: Caller, stranger: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        change_email(stranger)
        strangers_token = mailbox.token(NEW)
        change_email(owner)
        visitor.post(VERIFY, json={"token": mailbox.token(NEW)})

        assert_problem(visitor.post(VERIFY, json={"token": strangers_token}), 400, "account_taken")
        assert addresses(stranger) == ("mallory@example.com", True, NEW)
        assert addresses(owner) == (NEW, True, None)

    def test_an_address_that_waits_does_not_keep_its_person_from_registering(
        self, stranger: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        change_email(stranger)

        register(visitor)

        assert addresses(logged_in(visitor)) == (NEW, False, None)
        assert_problem(stranger.post(VERIFY, json={"code": _first_code(mailbox)}), 400, "account_taken")

    def test_the_address_of_another_account_is_refused_at_once(self, owner: Caller, bob: Actor) -> None:
        assert_problem(change_email(owner, "bob@example.com"), 400, "account_taken")

    @pytest.mark.parametrize(
        "withdrawal", [{"email": "alice@example.com"}, {"password": "an even better one"}], ids=["email", "password"]
    )
    def test_the_owner_stops_a_change_that_somebody_else_began(
        self, withdrawal: dict[str, str], owner: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        change_email(owner)
        token = mailbox.token(NEW)

        owner.patch(ME, json=withdrawal | {"current_password": PASSWORD})

        assert_problem(visitor.post(VERIFY, json={"token": token}), 400, "link_invalid")
        assert addresses(owner) == ("alice@example.com", True, None)

    def test_only_the_newest_of_several_new_addresses_counts(
        self, owner: Caller, visitor: Caller, mailbox: Mailbox
    ) -> None:
        change_email(owner, "typo@example.com")
        typo = mailbox.token("typo@example.com")
        change_email(owner)

        assert_problem(visitor.post(VERIFY, json={"token": typo}), 400, "link_invalid")
        assert visitor.post(VERIFY, json={"token": mailbox.token(NEW)}).status_code == 204

    def test_nobody_mails_to_many_strangers_by_changing_the_address(self, stranger: Caller) -> None:
        for number in range(6):
            assert change_email(stranger, f"stranger{number}@example.com").status_code == 200

        refused = change_email(stranger, "stranger6@example.com")

        assert_problem(refused, 429, "too_many_mails")
        assert int(refused.headers["Retry-After"]) > 80_000
        assert addresses(stranger) == ("mallory@example.com", True, "stranger5@example.com")

    def test_other_fields_change_at_once(self, owner: Caller) -> None:
        profile = change_email(owner, full_name="Alice A.").json()

        assert (profile["full_name"], profile["email"], profile["pending_email"]) == (
            "Alice A.",
            "alice@example.com",
            NEW,
        )

    def test_a_username_may_not_be_an_address_that_still_waits(self, owner: Caller) -> None:
        assert invalid_fields(change_email(owner, username=NEW)) == ["username"]
        assert addresses(owner) == ("alice@example.com", True, None)

    def test_a_removed_address_is_told(self, owner: Caller, mailbox: Mailbox) -> None:
        change_email(owner, None)

        assert addresses(owner) == (None, False, None)
        (mail,) = mailbox.mails_to("alice@example.com")
        assert mail["Subject"] == "The email address of your account was removed"

    def test_the_link_of_an_address_that_was_replaced_proves_nothing(
        self, visitor: Caller, live_server: LiveServer, mailbox: Mailbox
    ) -> None:
        """The operator may remove the mail server; then a new address replaces the old one at once."""
        register(visitor, email="first@example.com")
        newcomer = Caller(live_server.url, logged_in(visitor, "first@example.com").token)
        change_email(newcomer)

        assert_problem(visitor.post(VERIFY, json={"token": mailbox.token("first@example.com")}), 400, "link_invalid")
        assert addresses(newcomer) == (NEW, False, None)

    def test_without_a_mail_server_the_address_changes_at_once_and_is_not_verified(self, as_alice: Caller) -> None:
        change_email(as_alice)

        assert addresses(as_alice) == (NEW, False, None)


def test_everything_is_audited(owner: Caller, callers: Callers, alice: Actor, ada: Actor, mailbox: Mailbox) -> None:
    change_email(owner)
    owner.post(VERIFY, json={"code": mailbox.code(NEW)})

    recorded = {entry["action"]: entry["details"] for entry in entries(callers(ada), alice.user_id)}

    assert recorded["email.change_requested"] == recorded["email.verification_sent"] == {"email": NEW}
    assert recorded["email.verified"] == {"email": NEW}
    assert recorded["email.changed"] == {"previous": "alice@example.com"}


def _audit_of(email: str) -> list[dict[str, Any]]:
    rows = execute(
        "SELECT action FROM audit_log WHERE user_id = (SELECT id FROM users WHERE email = %s)", (email,)
    ).fetchall()
    return [{"action": action} for (action,) in rows]


def _first_code(mailbox: Mailbox) -> str:
    (code,) = re.findall(r": (\d{8})\b", mailbox.mails_to(NEW)[0].get_content())
    return str(code)
