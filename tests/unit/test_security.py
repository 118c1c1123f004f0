"""Password hashes and tokens, including forged ones."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from freezegun import freeze_time

from core.errors import Unauthenticated
from core.security import TokenIssuer, hash_password, random_token, token_hash, verify_password

KEY = "the key of these tests, which is long enough"
MINUTES_30 = 1800


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer(KEY, MINUTES_30)


@pytest.mark.parametrize("password", ["x" * 1024, "pässwörd ☔", "nul\x00inside", "a" * 72 + "b"])
def test_only_the_exact_password_matches_its_hash(password: str) -> None:
    password_hash = hash_password(password, 4)

    assert verify_password(password, password_hash)
    assert not verify_password(password[:-1], password_hash)
    assert password_hash != hash_password(password, 4)


def test_the_hash_contains_the_bcrypt_rounds() -> None:
    assert hash_password("password", 5).startswith("$2b$05$")


def test_random_tokens_differ_and_are_hashed_with_sha256() -> None:
    first, second = random_token(), random_token()

    assert first != second
    assert token_hash(first) == hashlib.sha256(first.encode()).digest()


def test_an_access_token_contains_user_and_session(issuer: TokenIssuer) -> None:
    with freeze_time("2026-05-01T09:00:00Z"):
        claims = issuer.read_access_token(issuer.access_token(7, 9))
        now = int(time.time())

    assert (claims.user_id, claims.session_id, claims.expires_at - now) == (7, 9, MINUTES_30)


def test_two_access_tokens_of_the_same_second_differ(issuer: TokenIssuer) -> None:
    with freeze_time("2026-05-01T09:00:00Z"):
        tokens = {issuer.access_token(7, 9) for _ in range(3)}

    assert len(tokens) == 3


@pytest.mark.parametrize(("late", "code"), [(MINUTES_30 + 9, None), (MINUTES_30 + 11, "token_expired")])
def test_a_token_expires_with_ten_seconds_of_leeway(issuer: TokenIssuer, late: int, code: str | None) -> None:
    with freeze_time("2026-05-01T09:00:00Z") as clock:
        token = issuer.access_token(7, 9)
        clock.tick(late)
        assert failure_of(issuer, token) == code


def failure_of(issuer: TokenIssuer, token: str) -> str | None:
    try:
        issuer.read_access_token(token)
    except Unauthenticated as failure:
        return failure.stable_code
    return None


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def access_key() -> bytes:
    return hmac.digest(KEY.encode(), b"access-token", hashlib.sha256)


@pytest.mark.parametrize("missing", ["exp", "iat", "sub", "sid", "typ", "aud", "iss"])
def test_a_token_without_a_required_claim_is_refused(issuer: TokenIssuer, missing: str) -> None:
    claims = claims_of(issuer.access_token(7, 9))
    del claims[missing]

    assert failure_of(issuer, jwt.encode(claims, access_key(), "HS256")) == "token_invalid"


@pytest.mark.parametrize(
    ("claim", "value"),
    [("aud", "another-api"), ("iss", "another"), ("typ", "refresh"), ("sub", "seven"), ("sid", "x"), ("sid", None)],
)
def test_a_token_with_a_wrong_claim_is_refused(issuer: TokenIssuer, claim: str, value: object) -> None:
    claims = claims_of(issuer.access_token(7, 9)) | {claim: value}

    assert failure_of(issuer, jwt.encode(claims, access_key(), "HS256")) == "token_invalid"


def test_a_token_with_another_signature_is_refused(issuer: TokenIssuer) -> None:
    claims = claims_of(issuer.access_token(7, 9))
    forgeries = [
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, access_key() * 2, "HS384"),
        jwt.encode(claims, KEY, "HS256"),
        TokenIssuer(KEY[::-1], MINUTES_30).access_token(7, 9),
        issuer.refresh_token(9, 0),
        "",
        "a.b.c",
    ]

    assert {failure_of(issuer, token) for token in forgeries} == {"token_invalid"}


def test_a_refresh_token_contains_session_and_counter(issuer: TokenIssuer) -> None:
    assert issuer.refresh_token(9, 3) == issuer.refresh_token(9, 3)
    assert issuer.read_refresh_token(issuer.refresh_token(9, 3)) == (9, 3)


def test_a_forged_refresh_token_is_refused(issuer: TokenIssuer) -> None:
    _, _, signature = issuer.refresh_token(9, 3).split(".")
    forgeries = [
        f"9.4.{signature}",
        f"8.3.{signature}",
        f"9.3.{signature[:-1]}",
        f"९.3.{signature}",
        f"+9.3.{signature}",
        f"{'9' * 30}.3.{signature}",
        "9.3.",
        "9",
        "",
        "9.3.ü",
        issuer.access_token(7, 9),
        TokenIssuer(KEY[::-1], MINUTES_30).refresh_token(9, 3),
    ]

    for token in forgeries:
        with pytest.raises(Unauthenticated):
            issuer.read_refresh_token(token)


def test_an_unsubscribe_token_contains_account_and_kind(issuer: TokenIssuer) -> None:
    token = issuer.unsubscribe_token(7, "overdue")

    assert issuer.read_unsubscribe_token(token, ("reminder", "overdue")) == (7, "overdue")


def test_an_unsubscribe_token_for_a_kind_that_no_longer_exists_is_refused(issuer: TokenIssuer) -> None:
    token = issuer.unsubscribe_token(7, "horoscope")

    with pytest.raises(Unauthenticated) as failure:
        issuer.read_unsubscribe_token(token, ("reminder", "overdue"))
    assert failure.value.stable_code == "token_invalid"


def test_a_forged_unsubscribe_token_is_refused(issuer: TokenIssuer) -> None:
    _, _, signature = issuer.unsubscribe_token(7, "overdue").split(".")
    forgeries = [
        f"8.overdue.{signature}",
        f"7.reminder.{signature}",
        f"7.overdue.{signature[:-1]}",
        f"७.overdue.{signature}",
        f"{'7' * 30}.overdue.{signature}",
        "7.overdue.ü",
        "7.overdue",
        "overdue",
        "",
        issuer.refresh_token(7, 3),
        TokenIssuer(KEY[::-1], MINUTES_30).unsubscribe_token(7, "overdue"),
    ]

    for token in forgeries:
        with pytest.raises(Unauthenticated):
            issuer.read_unsubscribe_token(token, ("reminder", "overdue"))


READERS: list[tuple[Callable[[TokenIssuer], str], Callable[[TokenIssuer, str], object]]] = [
    (lambda issuer: issuer.access_token(7, 9), lambda issuer, token: issuer.read_access_token(token)),
    (lambda issuer: issuer.refresh_token(9, 3), lambda issuer, token: issuer.read_refresh_token(token)),
    (lambda issuer: issuer.personal_token(7, 9), lambda issuer, token: issuer.read_personal_token(token)),
    (
        lambda issuer: issuer.unsubscribe_token(7, "overdue"),
        lambda issuer, token: issuer.read_unsubscribe_token(token, ("overdue",)),
    ),
]


@pytest.mark.parametrize(("make", "read"), READERS, ids=["access", "refresh", "personal", "unsubscribe"])
def test_each_kind_of_token_is_read_with_the_previous_key_too(
    make: Callable[[TokenIssuer], str], read: Callable[[TokenIssuer, str], object]
) -> None:
    new_key = KEY[::-1]
    old, new = TokenIssuer(KEY, MINUTES_30), TokenIssuer(new_key, MINUTES_30)
    during = TokenIssuer(new_key, MINUTES_30, previous_key=KEY)
    with freeze_time("2026-05-01T09:00:00Z"):
        assert read(during, make(old)) == read(old, make(old))
        assert read(new, make(during)) == read(old, make(old))
        for forged in (make(TokenIssuer("another key, of an attacker", MINUTES_30)), make(old)[:-1]):
            with pytest.raises(Unauthenticated):
                read(during, forged)
        with pytest.raises(Unauthenticated):
            read(new, make(old))


def test_an_access_token_of_the_previous_key_expires(issuer: TokenIssuer) -> None:
    during = TokenIssuer(KEY[::-1], MINUTES_30, previous_key=KEY)
    with freeze_time("2026-05-01T09:00:00Z") as clock:
        token = issuer.access_token(7, 9)
        clock.tick(MINUTES_30 + 11)
        assert failure_of(during, token) == "token_expired"
