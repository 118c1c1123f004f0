"""The kinds of expected failures. Each failure has a stable `code` that clients may rely on.

The API turns each kind into an HTTP status and a problem document; a worker logs it. The detail text never contains a
secret or the input of the client.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from core.messages import msg

INVALID: Final = msg("The request is not valid.")


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of the input; `field` is its dotted path, as in `due_at` or `items.3.title`."""

    field: str
    message: str


class Failure(Exception):  # noqa: N818 - these failures are a part of the API contract, not mistakes.
    """An expected failure that the caller gets to see.

    `at` is the number of the operation that failed, if a request has several operations.
    """

    code: ClassVar[str] = "failure"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.stable_code = code or self.code
        self.at: int | None = None


class Invalid(Failure):
    """The input is not valid; `errors` names every field that is wrong."""

    code = "invalid"

    def __init__(self, errors: list[FieldError], detail: str = INVALID, *, code: str | None = None):
        super().__init__(detail, code=code)
        self.errors = errors


class Rejected(Failure):
    """The request is well formed, but the current state does not allow it, for example a duplicate account."""

    code = "rejected"


class Unauthenticated(Failure):
    """The request has no credentials, or they are not valid."""

    code = "unauthenticated"


class Forbidden(Failure):
    """The caller is authenticated, but may not do this."""

    code = "forbidden"


class NotFound(Failure):
    """There is no such thing, or the caller may not see whether it exists."""

    code = "not_found"


class Conflict(Failure):
    """The change conflicts with another change that was made before it."""

    code = "conflict"


class PreconditionFailed(Failure):
    """The thing has changed since the caller last read it."""

    code = "precondition_failed"


class TooManyRequests(Failure):
    """The caller has exceeded a limit and may try again after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, detail: str, retry_after: int, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class TooLarge(Failure):
    """The request is larger than a limit allows."""

    code = "too_large"


class Unavailable(Failure):
    """A service that the request needs is down or too slow; the caller may try again after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after: int = 2, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after
