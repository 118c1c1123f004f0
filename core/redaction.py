"""Replaces the secrets in a log line by a mark: a last protection, since code must not log them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_SECRET_WORDS: Final = ("password", "token", "secret", "authorization", "cookie", "ticket", "api_key")
_REDACTED: Final = "[redacted]"
# A value of one of these types contains no other values, so nothing in it has a name.
_SIMPLE: Final = frozenset({str, int, float, bool, type(None)})


def redact(line: Mapping[str, Any]) -> dict[str, Any]:
    """Replace every value whose name suggests a secret, also in nested values."""
    redacted = {key: value if type(value) in _SIMPLE else _redacted(value) for key, value in line.items()}
    redacted.update(dict.fromkeys(_secret_names(tuple(line)), _REDACTED))
    return redacted


@lru_cache(maxsize=1024)
def _secret_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the names of a line suggest a secret. The lines of one call have the same names."""
    return tuple(name for name in names if _is_secret(name))


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _REDACTED if _is_secret(str(key)) else _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)
