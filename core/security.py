"""Passwords and tokens. Nothing in this module uses the database."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass

import bcrypt
import jwt

from core.errors import Unauthenticated
from core.messages import msg

PASSWORD_MIN_LENGTH = 8
PASSWORD_MAX_LENGTH = 1024
_PASSWORD_DOMAIN = b"allweather:password"
_ISSUER = "allweather"
_AUDIENCE = "allweather-api"
_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
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
    """Signs and reads tokens. Each kind of token has its own key, which is derived from the secret key."""

    def __init__(self, secret_key: str, access_token_seconds: int) -> None:
        self._access_key = hmac.digest(secret_key.encode(), b"access-token", hashlib.sha256)
        self._refresh_key = hmac.digest(secret_key.encode(), b"refresh-token", hashlib.sha256)
        self._personal_key = hmac.digest(secret_key.encode(), b"personal-access-token", hashlib.sha256)
        self._unsubscribe_key = hmac.digest(secret_key.encode(), b"unsubscribe", hashlib.sha256)
        self.access_token_seconds = access_token_seconds

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
        return jwt.encode(claims, self._access_key, algorithm=_ALGORITHM)

    def read_access_token(self, token: str) -> AccessClaims:
        """Check an access token's signature and claims, but not whether its session has ended.

        Raises:
            Unauthenticated: with code `token_expired` if it is too old, else `token_invalid`.
        """
        try:
            claims = jwt.decode(
                token,
                self._access_key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED_CLAIMS},
            )
            if claims["typ"] == "access":
                return AccessClaims(int(claims["sub"]), int(claims["sid"]), int(claims["exp"]))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(msg("The access token has expired."), code="token_expired") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            pass
        raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")

    def refresh_token(self, session_id: int, counter: int) -> str:
        """Make the session's refresh token number `counter`; the same numbers always give the same token."""
        return _sign_numbers(self._refresh_key, session_id, counter)

    def read_refresh_token(self, token: str) -> tuple[int, int]:
        """Check a refresh token's signature and return its session and counter.

        Raises:
            Unauthenticated: with code `refresh_token_invalid`.
        """
        numbers = _read_numbers(self._refresh_key, token)
        if numbers is None:
            raise Unauthenticated(msg("The refresh token is not valid."), code="refresh_token_invalid")
        return numbers

    def personal_token(self, user_id: int, session_id: int) -> str:
        """Make the personal access token of a session."""
        return _PERSONAL_PREFIX + _sign_numbers(self._personal_key, user_id, session_id)

    def read_personal_token(self, token: str) -> AccessClaims:
        """Check a personal access token's signature, but not whether it was revoked.

        Raises:
            Unauthenticated: with code `token_invalid`.
        """
        numbers = _read_numbers(self._personal_key, token.removeprefix(_PERSONAL_PREFIX))
        if numbers is None:
            raise Unauthenticated(msg("The access token is not valid."), code="token_invalid")
        return AccessClaims(*numbers, expires_at=None)

    def unsubscribe_token(self, user_id: int, kind: str) -> str:
        """Make the token of a link that ends one kind of mail to an account, and does nothing else."""
        return f"{user_id}.{kind}.{_signature(self._unsubscribe_key, user_id, kind)}"

    def read_unsubscribe_token(self, token: str, kinds: Collection[str]) -> tuple[int, str]:
        """Check such a token's signature and return the account and the kind, which has to be one of `kinds`.

        Raises:
            Unauthenticated: with code `token_invalid`.
        """
        signed, _, signature = token.rpartition(".")
        user_id, _, kind = signed.partition(".")
        if _is_number(user_id) and kind in kinds:
            expected = _signature(self._unsubscribe_key, int(user_id), kind)
            if hmac.compare_digest(signature.encode(), expected.encode()):
                return int(user_id), kind
        raise Unauthenticated(msg("This link is not valid."), code="token_invalid")


def is_personal(token: str) -> bool:
    """Whether a token is a personal access token, by its prefix, by which secret scanners recognize it too."""
    return token.startswith(_PERSONAL_PREFIX)


def _sign_numbers(key: bytes, first: int, second: int) -> str:
    return f"{first}.{second}.{_signature(key, first, second)}"


def _read_numbers(key: bytes, token: str) -> tuple[int, int] | None:
    """The two numbers of a token that was signed with this key, or None for any other text."""
    first, _, rest = token.partition(".")
    second, _, signature = rest.partition(".")
    if not (_is_number(first) and _is_number(second)):
        return None
    expected = _signature(key, int(first), int(second))
    return (int(first), int(second)) if hmac.compare_digest(signature.encode(), expected.encode()) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _BIGINT_DIGITS


def _signature(key: bytes, first: int, second: int | str) -> str:
    digest = hmac.digest(key, f"{first}.{second}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
