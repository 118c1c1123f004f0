"""Links and codes of mails: used once, also by simultaneous requests, and useless to whoever reads the database."""

from datetime import timedelta

import pytest

from core.config import Settings
from core.db import unit_of_work
from core.errors import Rejected
from core.models.account_mail import AccountLink
from core.policy import Actor
from core.security import TokenIssuer
from core.services import account_links, administration
from core.services.account_links import RESET_PASSWORD, VERIFY_EMAIL
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")
KEY = "a secret of these tests, long enough to sign with"


@pytest.fixture
def issuer(settings: Settings) -> TokenIssuer:
    return TokenIssuer.from_settings(settings)


def begin(actor: Actor, purpose: str = VERIFY_EMAIL) -> AccountLink:
    with unit_of_work():
        link_id = account_links.begin(actor.user_id, purpose, "alice@example.com", timedelta(hours=1))
    return AccountLink.get_by_id(link_id)


def token_of(link: AccountLink, issuer: TokenIssuer) -> str:
    return issuer.link_token(link.id, link.purpose, bytes(link.nonce))


def code_of(link: AccountLink, issuer: TokenIssuer) -> str:
    return issuer.link_code(link.id, bytes(link.nonce))


def use(token: str, issuer: TokenIssuer, purpose: str = VERIFY_EMAIL) -> account_links.Link:
    with unit_of_work():
        return account_links.use(token, purpose, issuer)


def outcome_of_use(token: str, issuer: TokenIssuer) -> str:
    try:
        return use(token, issuer).email
    except Rejected as failure:
        return failure.stable_code


def test_a_link_works_once(alice: Actor, issuer: TokenIssuer) -> None:
    token = token_of(begin(alice), issuer)

    assert use(token, issuer).user_id == alice.user_id
    assert outcome_of_use(token, issuer) == "link_invalid"


def test_of_simultaneous_uses_one_succeeds(alice: Actor, issuer: TokenIssuer) -> None:
    token = token_of(begin(alice), issuer)

    assert (
        sorted(in_parallel(lambda _: outcome_of_use(token, issuer), 8)) == ["alice@example.com"] + ["link_invalid"] * 7
    )


def test_a_link_ends_when_a_new_one_is_made_or_its_time_is_over(alice: Actor, issuer: TokenIssuer) -> None:
    first, other_purpose = begin(alice), begin(alice, RESET_PASSWORD)
    second = begin(alice)
    assert outcome_of_use(token_of(first, issuer), issuer) == "link_invalid"
    assert use(token_of(other_purpose, issuer), issuer, RESET_PASSWORD).id == other_purpose.id

    with unit_of_work():
        execute("UPDATE account_links SET expires_at = now() WHERE id = %s", (second.id,))

    assert outcome_of_use(token_of(second, issuer), issuer) == "link_invalid"


def test_simultaneous_requests_leave_one_link_open(alice: Actor) -> None:
    made = in_parallel(lambda _: begin(alice).id, 6)

    open_links = execute("SELECT id FROM account_links WHERE expires_at > now() AND used_at IS NULL").fetchall()
    assert len(set(made)) == 6
    assert len(open_links) == 1


def test_a_use_that_is_undone_leaves_the_link_open(alice: Actor, issuer: TokenIssuer) -> None:
    token = token_of(begin(alice), issuer)

    def use_and_fail() -> None:
        with unit_of_work():
            account_links.use(token, VERIFY_EMAIL, issuer)
            raise ZeroDivisionError

    pytest.raises(ZeroDivisionError, use_and_fail)

    assert use(token, issuer).user_id == alice.user_id


def test_a_token_serves_only_its_purpose_and_needs_the_secret_key(alice: Actor, issuer: TokenIssuer) -> None:
    link = begin(alice)
    token = token_of(link, issuer)
    forged = TokenIssuer(KEY, 60).link_token(link.id, VERIFY_EMAIL, bytes(link.nonce))

    with pytest.raises(Rejected):
        use(token, issuer, RESET_PASSWORD)
    for wrong in ("", "1", f"{link.id}.{bytes(link.nonce).hex()}", forged, token + "x", token.replace(".", "..", 1)):
        assert outcome_of_use(wrong, issuer) == "link_invalid"


def test_a_token_does_not_fit_another_link_with_the_same_id(alice: Actor, issuer: TokenIssuer) -> None:
    """After a backup was restored, numbers are given out a second time."""
    link = begin(alice)
    with unit_of_work():
        execute("UPDATE account_links SET nonce = '\\x00'::bytea WHERE id = %s", (link.id,))

    assert outcome_of_use(token_of(link, issuer), issuer) == "link_invalid"


def test_a_link_and_its_code_are_read_with_the_previous_key_too(alice: Actor, settings: Settings) -> None:
    old = TokenIssuer(settings.secret_key.get_secret_value(), 60)
    new = TokenIssuer(KEY, 60, settings.secret_key.get_secret_value())
    link = begin(alice)

    assert account_links.check_code(alice.user_id, VERIFY_EMAIL, code_of(link, old), new) == link.id
    assert use(token_of(link, old), new).id == link.id


def test_the_right_code_leads_to_the_link(alice: Actor, issuer: TokenIssuer) -> None:
    link = begin(alice)
    code = code_of(link, issuer)

    assert len(code) == 8
    assert code.isdigit()
    assert account_links.check_code(alice.user_id, VERIFY_EMAIL, code, issuer) == link.id
    with unit_of_work():
        assert account_links.use_by_id(link.id).email == "alice@example.com"
    with pytest.raises(Rejected, match="no longer"):
        account_links.check_code(alice.user_id, VERIFY_EMAIL, code, issuer)


def test_after_five_wrong_codes_only_the_link_works(alice: Actor, issuer: TokenIssuer) -> None:
    link = begin(alice)
    right = code_of(link, issuer)
    wrong = "00000000" if right != "00000000" else "00000001"

    def guess(code: str) -> str:
        try:
            return str(account_links.check_code(alice.user_id, VERIFY_EMAIL, code, issuer))
        except Rejected as failure:
            return failure.stable_code

    assert in_parallel(lambda _: guess(wrong), 5) == ["code_invalid"] * 5
    assert guess(right) == "code_invalid"
    assert use(token_of(link, issuer), issuer).id == link.id


def test_a_code_of_another_account_is_refused(alice: Actor, mallory: Actor, issuer: TokenIssuer) -> None:
    link = begin(alice)
    begin(mallory)

    with pytest.raises(Rejected):
        account_links.check_code(mallory.user_id, VERIFY_EMAIL, code_of(link, issuer), issuer)


@pytest.mark.parametrize("purpose", [RESET_PASSWORD, VERIFY_EMAIL])
def test_links_of_before_an_account_was_disabled_stay_of_no_use(
    purpose: str, alice: Actor, ada: Actor, issuer: TokenIssuer
) -> None:
    token = token_of(begin(alice, purpose), issuer)
    for is_active in (False, True):
        administration.change_account(ada, alice.user_id, {"is_active": is_active})

    with pytest.raises(Rejected):
        use(token, issuer, purpose)
