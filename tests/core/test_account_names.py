"""Names of accounts: each belongs to one account, also when two accounts want it at the same time."""

import pytest

from core.db import unit_of_work
from core.errors import Rejected
from core.models.account import User
from core.policy import Actor
from core.services import account_names
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")


def user_of(actor: Actor) -> User:
    return User.get_by_id(actor.user_id)


def test_a_changed_name_is_found_in_its_normal_form(alice: Actor) -> None:
    with unit_of_work():
        account_names.change(user_of(alice), {"email": "Ann@Example.com", "username": "Ann"})

    assert all((User.named(name) or User()).id == alice.user_id for name in ("ann@example.com", "ANN"))
    assert User.named("alice") is None


def test_a_name_of_another_account_is_refused(alice: Actor, bob: Actor) -> None:
    for names in ({"email": "BOB@example.com"}, {"username": "Bob"}):
        with pytest.raises(Rejected) as failure, unit_of_work():
            account_names.change(user_of(alice), names)
        assert failure.value.stable_code == "account_taken"


def test_the_own_name_and_no_name_are_free(alice: Actor) -> None:
    account_names.require_free(user_of(alice), {"email": None, "username": "ALICE"})


def test_of_simultaneous_changes_to_one_name_only_one_succeeds(alice: Actor, bob: Actor, mallory: Actor) -> None:
    actors = (alice, bob, mallory)

    def take(number: int) -> str:
        try:
            with unit_of_work():
                account_names.change(user_of(actors[number]), {"email": "new@example.com"})
        except Rejected as failure:
            return failure.stable_code
        return "changed"

    assert sorted(in_parallel(take, 3)) == ["account_taken", "account_taken", "changed"]
    assert User.select().where(User.email == "new@example.com").count() == 1
