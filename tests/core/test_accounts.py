"""Accounts: registration, unique names and changes of a profile."""

import unicodedata
from datetime import timedelta
from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.errors import Rejected, Unauthenticated
from core.models.account import User
from core.policy import Actor, Role
from core.representations import Representation
from core.services import accounts, sessions
from tests.builders import BCRYPT_ROUNDS, PASSWORD, create_actor
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")


def register(username: str, email: str | None = None) -> int:
    return accounts.register(username=username, email=email, full_name=None, password_hash="-").id


def as_dict(profile: Representation) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(profile.json)
    return found


def logged_in(user_id: int) -> Actor:
    grant = sessions.open_session(user_id, sessions.Client("127.0.0.1", None), timedelta(days=1))
    return Actor(user_id, Role.USER, grant.session_id)


def test_a_profile_does_not_contain_the_password_hash() -> None:
    profile = as_dict(accounts.register(username="alice", email=None, full_name="Alice", password_hash="the hash"))

    assert "the hash" not in repr(profile)
    assert (profile["role"], profile["is_active"], profile["locale"], profile["timezone"]) == (
        "user",
        True,
        "en",
        "UTC",
    )


@pytest.mark.parametrize(
    ("username", "email"), [("ALICE", None), ("another", "Alice@Example.com"), ("Alice@example.com", "x@example.com")]
)
def test_names_are_unique_regardless_of_case(username: str, email: str | None) -> None:
    register("alice", "alice@example.com")
    register("alice@example.com")

    with pytest.raises(Rejected) as failure:
        register(username, email)

    assert failure.value.stable_code == "account_taken"


def test_only_one_of_many_parallel_registrations_succeeds() -> None:
    def attempt(_: int) -> bool:
        try:
            register("alice", "alice@example.com")
        except Rejected:
            return False
        return True

    assert in_parallel(attempt, 8).count(True) == 1
    assert User.select().count() == 1


def test_an_account_is_found_by_username_and_by_email_in_any_case() -> None:
    user_id = register("alice", "alice@example.com")

    for identifier in ("alice", "ALICE", "Alice@Example.COM"):
        found = User.named(identifier)
        assert found is not None
        assert found.id == user_id
    assert User.named("nobody") is None


def test_an_account_that_has_no_keys_yet_is_found_and_its_exact_name_has_precedence() -> None:
    composed, decomposed = (unicodedata.normalize(form, "naïve") for form in ("NFC", "NFD"))
    newer = register(composed, None)
    with unit_of_work():
        execute("INSERT INTO users (username, password_hash) VALUES (%s, 'x'), ('Old', 'x')", (decomposed,))

    found = [User.named(name) for name in (composed, decomposed, "oLD")]

    assert [user and user.username for user in found] == [composed, decomposed, "Old"]
    assert found[0] is not None
    assert found[0].id == newer


def test_a_name_that_the_version_before_changes_loses_its_old_key(alice: Actor) -> None:
    execute("UPDATE users SET email = 'new@example.com', full_name = 'x' WHERE id = %s", (alice.user_id,))

    found = User.named("NEW@example.com")

    assert User.named("alice@example.com") is None
    assert found is not None
    assert (found.id, found.email_key, found.username_key) == (alice.user_id, None, "alice")


def test_the_keys_follow_the_names(alice: Actor) -> None:
    accounts.update_profile(alice, {"email": "A@example.org", "username": "ΟΔΥΣΣΕΥΣ"}, is_confirmed=True)

    assert User.named("alice") is None
    for name in ("οδυσσευς", "a@EXAMPLE.org"):
        found = User.named(name)
        assert found is not None
        assert found.id == alice.user_id


def test_a_username_equal_to_the_email_changes_with_it(alice: Actor) -> None:
    user_id = register("ann@example.com", "ann@example.com")
    ann = Actor(user_id, Role.USER, alice.session_id)

    profile = as_dict(accounts.update_profile(ann, {"email": "ann@example.org"}, is_confirmed=True))

    assert (profile["username"], profile["email"]) == ("ann@example.org", "ann@example.org")
    assert as_dict(accounts.update_profile(alice, {"email": "a@example.org"}, is_confirmed=True))["username"] == "alice"


def test_a_name_of_another_account_is_refused_and_nothing_changes(alice: Actor, bob: Actor) -> None:
    with pytest.raises(Rejected):
        accounts.update_profile(alice, {"full_name": "New", "email": "BOB@example.com"}, is_confirmed=True)

    assert as_dict(accounts.read_profile(alice))["full_name"] == "Alice"


def test_a_new_password_ends_the_other_sessions(alice: Actor) -> None:
    other = sessions.open_session(alice.user_id, sessions.Client("127.0.0.1", None), timedelta(days=1))

    accounts.update_profile(alice, {"password_hash": "new"}, is_confirmed=True)

    assert sessions.session_actor(alice.session_id) == alice
    with pytest.raises(Unauthenticated):
        sessions.session_actor(other.session_id)
    assert User.get_by_id(alice.user_id).password_hash == "new"


def test_a_session_that_has_ended_meanwhile_changes_nothing(alice: Actor) -> None:
    """Its password may have been compared before a reset of the password has ended the session."""
    with unit_of_work():
        sessions.revoke_sessions(alice.user_id)

    with pytest.raises(Unauthenticated) as failure:
        accounts.update_profile(alice, {"password_hash": "another"}, is_confirmed=True)

    assert failure.value.stable_code == "session_revoked"
    assert User.get_by_id(alice.user_id).password_hash != "another"


def test_promoting_changes_only_the_named_account() -> None:
    create_actor("carol")

    assert accounts.promote("carol@example.com", Role.ADMIN)
    assert not accounts.promote("nobody@example.com", Role.ADMIN)
    assert [user.role for user in User.select()] == ["admin"]


def test_a_name_that_is_written_in_another_way_keeps_its_key() -> None:
    carol = register("straße")
    accounts.update_profile(logged_in(carol), {"username": "strasse"}, is_confirmed=True)

    assert User.get_by_id(carol).username_key == "strasse"
    with pytest.raises(Rejected):
        register("STRASSE")


def test_the_unchanged_name_of_the_younger_of_two_accounts_with_one_key_is_accepted() -> None:
    register("straße")
    younger = register("another")
    execute("UPDATE users SET username = 'strasse', username_key = NULL WHERE id = %s", (younger,))

    changes = {"username": "strasse", "full_name": "Younger"}
    profile = as_dict(accounts.update_profile(logged_in(younger), changes, is_confirmed=True))

    assert profile["full_name"] == "Younger"


def test_the_email_of_an_admin_that_the_operator_made_counts_as_verified() -> None:
    accounts.register_admin("ada@example.com", PASSWORD, BCRYPT_ROUNDS)
    register("mallory@example.com", "mallory@example.com")

    verified = {user.email: user.profile()["email_verified"] for user in User.select()}

    assert verified == {"ada@example.com": True, "mallory@example.com": False}


def test_a_new_email_never_inherits_the_proof_of_the_old_one(alice: Actor) -> None:
    """The version before, which may run while a new one is installed, does not know that emails are proved."""
    with unit_of_work():
        execute("UPDATE users SET email = 'new@example.com' WHERE id = %s", (alice.user_id,))

    assert not User.get_by_id(alice.user_id).profile()["email_verified"]
