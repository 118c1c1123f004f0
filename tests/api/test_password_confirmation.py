"""Asking for the own password again: guesses are slowed down and recorded, and do not delay the logins of others."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
import requests

from core import security
from core.policy import Actor
from tests.api.callers import Caller, assert_problem, invalid_fields
from tests.api.test_audit import actions, entries
from tests.builders import PASSWORD
from tests.polling import wait_until

FREE_ATTEMPTS = 6
NEW_EMAIL = {"email": "alice@example.org"}


def change_email(caller: Caller, password: str) -> requests.Response:
    return caller.patch("/auth/me", json=NEW_EMAIL | {"current_password": password})


def delete_account(caller: Caller, password: str) -> requests.Response:
    return caller.post("/api/v1/users/me/delete", json={"current_password": password})


def change_password(caller: Caller, password: str) -> requests.Response:
    return caller.patch("/auth/me", json={"password": "an even better one", "current_password": password})


def log_in(caller: Caller, name: str = "alice", password: str = PASSWORD) -> requests.Response:
    return caller.post("/auth/login", json={"username": name, "password": password})


@pytest.mark.parametrize("confirm", [change_email, delete_account, change_password])
def test_guesses_are_delayed_wherever_the_password_is_asked_for(
    confirm: Callable[[Caller, str], requests.Response], as_alice: Caller
) -> None:
    for _ in range(FREE_ATTEMPTS):
        assert invalid_fields(confirm(as_alice, "wrong")) == ["current_password"]

    delayed = confirm(as_alice, PASSWORD)

    assert_problem(delayed, 429, "login_delayed")
    assert int(delayed.headers["Retry-After"]) >= 1


def test_guesses_and_failed_logins_are_counted_together(as_alice: Caller, anybody: Caller) -> None:
    for _ in range(FREE_ATTEMPTS - 1):
        change_email(as_alice, "wrong")
    assert log_in(anybody, password="wrong").status_code == 401

    assert_problem(log_in(anybody), 429, "login_delayed")


def test_the_right_password_resets_the_count(as_alice: Caller) -> None:
    for _ in range(FREE_ATTEMPTS - 1):
        change_email(as_alice, "wrong")
    assert change_email(as_alice, PASSWORD).status_code == 200

    assert invalid_fields(change_email(as_alice, "wrong")) == ["current_password"]


def test_refused_passwords_are_audited(as_alice: Caller, as_ada: Caller, alice: Actor) -> None:
    delete_account(as_alice, "a guess")

    entry = entries(as_ada, alice.user_id)[0]

    assert (entry["action"], entry["actor_id"], entry["ip_address"]) == ("password.refused", alice.user_id, "127.0.0.1")
    assert "a guess" not in as_ada.get("/api/v1/audit").text


class TestChangingTheEmail:
    def test_it_needs_the_password(self, as_alice: Caller) -> None:
        assert invalid_fields(as_alice.patch("/auth/me", json=NEW_EMAIL)) == ["current_password"]
        assert as_alice.get("/auth/me").json()["email"] == "alice@example.com"

    def test_removing_it_needs_the_password(self, as_alice: Caller) -> None:
        assert invalid_fields(as_alice.patch("/auth/me", json={"email": None})) == ["current_password"]

    def test_the_same_email_needs_no_password(self, as_alice: Caller) -> None:
        profile = {"email": "alice@example.com", "full_name": "Alice A."}

        assert as_alice.patch("/auth/me", json=profile).json()["full_name"] == "Alice A."

    def test_it_is_audited_with_the_old_address(self, as_alice: Caller, as_ada: Caller, alice: Actor) -> None:
        assert change_email(as_alice, PASSWORD).json()["email"] == NEW_EMAIL["email"]

        assert actions(as_ada, alice.user_id)[:2] == ["email.changed", "profile.changed"]
        assert entries(as_ada, alice.user_id)[0]["details"] == {"previous": "alice@example.com"}

    def test_an_email_and_a_password_are_changed_together(
        self, as_alice: Caller, as_ada: Caller, anybody: Caller, alice: Actor
    ) -> None:
        change = NEW_EMAIL | {"password": "an even better one", "current_password": PASSWORD}

        assert as_alice.patch("/auth/me", json=change).status_code == 200

        assert actions(as_ada, alice.user_id)[:2] == ["email.changed", "password.changed"]
        assert log_in(anybody, NEW_EMAIL["email"], "an even better one").status_code == 200


class TestOneCheckAtATime:
    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
        """Open it to let checks of the password "slow" end; it shows how many of them have begun."""
        opened = Event()
        compare = security.verify_password

        def verify(password: str, *rest: Any) -> bool:
            if password == "slow":
                self.begun += 1
                assert opened.wait(30)
            return compare(password, *rest)

        self.begun = 0
        monkeypatch.setattr(security, "verify_password", verify)
        yield opened
        opened.set()

    def test_a_second_check_of_the_same_user_is_refused_and_others_can_log_in(
        self, gate: Event, as_alice: Caller, bob: Actor, anybody: Caller, alice: Actor, caller_for: Any
    ) -> None:
        with ThreadPoolExecutor() as pool:
            first = pool.submit(change_email, as_alice, "slow")
            wait_until(lambda: self.begun == 1)

            others = [confirm(caller_for(alice), "slow") for confirm in (change_email, delete_account, change_password)]
            login = log_in(anybody, "bob")
            gate.set()

        for refused in others:
            assert_problem(refused, 429, "too_many_at_once")
            assert refused.headers["Retry-After"] == "1"
        assert login.status_code == 200
        assert first.result().status_code == 422
        assert self.begun == 1

    def test_the_place_is_free_again_after_a_refusal(self, as_alice: Caller) -> None:
        assert change_email(as_alice, "wrong").status_code == 422
        assert change_email(as_alice, PASSWORD).status_code == 200

    def test_changes_without_the_password_need_no_place(
        self, gate: Event, as_alice: Caller, alice: Actor, caller_for: Any
    ) -> None:
        with ThreadPoolExecutor() as pool:
            pool.submit(change_email, as_alice, "slow")
            wait_until(lambda: self.begun == 1)
            changed = caller_for(alice).patch("/auth/me", json={"full_name": "Alice A."})
            gate.set()

        assert changed.status_code == 200
