"""Passwords and tokens. Nothing in this module uses the database."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import bcrypt
import jwt

from core.config import Settings
from core.errors import Rejected, Unauthenticated
from core.messages import msg

PASSWORD_MIN_LENGTH = 8
PASSWORD_MAX_LENGTH = 1024
_PASSWORD_DOMAIN = b"allweather:password"
_ISSUER = "allweather"
_AUDIENCE = "allweather-api"
_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
_CODE_DIGITS = 8
_PERSONAL_PREFIX = "allweather_pat_"
# A number with fewer digits always fits into PostgreSQL's bigint.
_BIGINT_DIGITS = 19
_REQUIRED_CLAIMS = ["exp", "iat", "sub", "sid", "typ"]


def _bcrypt_input(password: str) -> bytes:
    """Hash a password of any length to 44 bytes: bcrypt refuses more than 72 bytes and stops at a zero byte."""
    digest = hmac.digest(_PASSWORD_DOMAIN, password.encode(), hashlib.sha256)
    return base64.b64encode(digest)


def hash_password(password: str, rounds: int) -> str:
    """Hash a password with bcrypt; takes about a quarter of a second at 12 rounds."""
    return bcrypt.hashpw(_bcrypt_input(password), bcrypt.gensalt(rounds)).decode()


def verify_password(password: str, password_hash: str) -> bool:
    """Whether the password matches the hash; the time depends on the bcrypt rounds of that hash."""
    return bcrypt.checkpw(_bcrypt_input(password), password_hash.encode())


def random_token() -> str:
    """Make a secret of 256 bits that fits into a URL."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Hash a random token for storage; it has 256 random bits, so it needs no salt."""
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The content of an access token: its account, its session, and when it expires (seconds since 1970).

    A personal access token contains no expiry (None); the row of its session does.
    """

    user_id: int
    session_id: int
    expires_at: int | None


class TokenIssuer:
    """Signs and reads tokens. Each kind of token has its own key, which is derived from the secret key.

    While the secret key is being replaced, tokens that were signed with the previous one are read too.
    """

    def __init__(self, secret_key: str, access_token_seconds: int, previous_key: str | None = None) -> None:
        secret_keys = [secret_key] if previous_key is None else [secret_key, previous_key]
        self._access_keys = _derived(secret_keys, b"access-token")
        self._refresh_keys = _derived(secret_keys, b"refresh-token")
        self._personal_keys = _derived(secret_keys, b"personal-access-token")
        self._unsubscribe_keys = _derived(secret_keys, b"unsubscribe")
        self._link_keys = _derived(secret_keys, b"account-link")
        self._code_keys = _derived(secret_keys, b"account-code")
        self.access_token_seconds = access_token_seconds

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the issuer of an installation."""
        previous = settings.secret_key_previous
        return cls(
            settings.secret_key.get_secret_value(),
            settings.access_token_minutes * 60,
            None if previous is None else previous.get_secret_value(),
        )

    def access_token(self, user_id: int, session_id: int) -> str:
        """Sign an access token for a session, valid for `access_token_seconds` from now.

        Its random id (`jti`) makes two tokens of the same second differ.
        """
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "sid": session_id,
            "typ": "access",
            "jti": secrets.token_urlsafe(12),
            "iat": now,
            "exp": now + self.access_token_seconds,
        }
        return jwt.encode(claims, self._access_keys[0], algorithm=_ALGORITHM)

    def read_access_token(self, token: str) -> AccessClaims:
        """Check an access token's signature and claims, but not whether its session has ended.

        Raises:
            Unauthenticated: with code `token_expired` if it is too old, else `token_invalid`.
        """
        try:
            claims = _read_claims(self._access_keys, token)
            if claims["typ"] == "access":
                return AccessClaims(int(claims["sub"]), int(claims["sid"]), int(claims["exp"]))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(msg("The access token has expired."), code="token_expired") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            pass
        raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")

    def refresh_token(self, session_id: int, counter: int) -> str:
        """Make the session's refresh token number `counter`; the same numbers always give the same token."""
        return _sign_numbers(self._refresh_keys[0], session_id, counter)

    def read_refresh_token(self, token: str) -> tuple[int, int]:
        """Check a refresh token's signature and return its session and counter.

        Raises:
            Unauthenticated: with code `refresh_token_invalid`.
        """
        numbers = _read_numbers(self._refresh_keys, token)
        if numbers is None:
            raise Unauthenticated(msg("The refresh token is not valid."), code="refresh_token_invalid")
        return numbers

    def personal_token(self, user_id: int, session_id: int) -> str:
        """Make the personal access token of a session."""
        return _PERSONAL_PREFIX + _sign_numbers(self._personal_keys[0], user_id, session_id)

    def read_personal_token(self, token: str) -> AccessClaims:
        """Check a personal access token's signature, but not whether it was revoked.

        Raises:
            Unauthenticated: with code `token_invalid`.
        """
        numbers = _read_numbers(self._personal_keys, token.removeprefix(_PERSONAL_PREFIX))
        if numbers is None:
            raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")
        return AccessClaims(*numbers, expires_at=None)

    def unsubscribe_token(self, user_id: int, kind: str) -> str:
        """Make the token of a link that ends one kind of mail to an account, and does nothing else."""
        return f"{user_id}.{kind}.{_signature(self._unsubscribe_keys[0], user_id, kind)}"

    def read_unsubscribe_token(self, token: str, kinds: Collection[str]) -> tuple[int, str]:
        """Check such a token's signature and return the account and the kind, which has to be one of `kinds`.

        Raises:
            Unauthenticated: with code `token_invalid`.
        """
        signed, _, signature = token.rpartition(".")
        user_id, _, kind = signed.partition(".")
        if _is_number(user_id) and kind in kinds:
            number = int(user_id)
            if _is_signed(self._unsubscribe_keys, signature, number, kind):
                return number, kind
        raise Unauthenticated(msg("This link is not valid."), code="token_invalid")

    def link_token(self, link_id: int, purpose: str, nonce: bytes) -> str:
        """Make the token of a link that is mailed; the row of the link alone is not enough to make it."""
        signature = _signature(self._link_keys[0], link_id, f"{purpose}.{nonce.hex()}")
        return f"{link_id}.{nonce.hex()}.{signature}"

    def read_link_token(self, token: str, purpose: str) -> tuple[int, bytes]:
        """Check the signature of a link's token and return its id and nonce, but not whether it may still be used.

        Raises:
            Rejected: with code `link_invalid`.
        """
        link_id, _, rest = token.partition(".")
        nonce, _, signature = rest.partition(".")
        if _is_number(link_id) and _is_signed(self._link_keys, signature, int(link_id), f"{purpose}.{nonce}"):
            return int(link_id), bytes.fromhex(nonce)
        raise link_invalid()

    def link_code(self, link_id: int, nonce: bytes) -> str:
        """Make the code of 8 digits that is mailed together with a link."""
        return _code(self._code_keys[0], link_id, nonce)

    def is_link_code(self, code: str, link_id: int, nonce: bytes) -> bool:
        """Whether this is the code that was mailed together with a link."""
        expected = [_code(key, link_id, nonce).encode() for key in self._code_keys]
        return any(hmac.compare_digest(code.encode(), each) for each in expected)


def link_invalid() -> Rejected:
    """Return the failure for a link that is unknown, used or too old; which of these it is, is not said."""
    return Rejected(msg("This link is not valid, or no longer. Please request a new one."), code="link_invalid")


def is_personal(token: str) -> bool:
    """Whether a token is a personal access token, by its prefix, by which secret scanners recognize it too."""
    return token.startswith(_PERSONAL_PREFIX)


def _derived(secret_keys: Sequence[str], purpose: bytes) -> tuple[bytes, ...]:
    return tuple(hmac.digest(secret_key.encode(), purpose, hashlib.sha256) for secret_key in secret_keys)


def _read_claims(keys: Sequence[bytes], token: str) -> dict[str, Any]:
    """The claims of a token that was signed with one of the keys; raises what `jwt.decode()` raises."""
    for key in keys:
        with suppress(jwt.InvalidSignatureError):
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED_CLAIMS},
            )
            return claims
    raise jwt.InvalidSignatureError


def _sign_numbers(key: bytes, first: int, second: int) -> str:
    return f"{first}.{second}.{_signature(key, first, second)}"


def _read_numbers(keys: Sequence[bytes], token: str) -> tuple[int, int] | None:
    """The two numbers of a token that was signed with one of the keys, or None for any other text."""
    first, _, rest = token.partition(".")
    second, _, signature = rest.partition(".")
    if not (_is_number(first) and _is_number(second)):
        return None
    numbers = int(first), int(second)
    return numbers if _is_signed(keys, signature, *numbers) else None


def _is_signed(keys: Sequence[bytes], signature: str, first: int, second: int | str) -> bool:
    expected = [_signature(key, first, second).encode() for key in keys]
    return any(hmac.compare_digest(signature.encode(), each) for each in expected)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _BIGINT_DIGITS


def _signature(key: bytes, first: int, second: int | str) -> str:
    digest = hmac.digest(key, f"{first}.{second}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _code(key: bytes, link_id: int, nonce: bytes) -> str:
    digest = hmac.digest(key, f"{link_id}.{nonce.hex()}".encode(), hashlib.sha256)
    return str(int.from_bytes(digest) % 10**_CODE_DIGITS).zfill(_CODE_DIGITS)
