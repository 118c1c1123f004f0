"""What can go wrong, by kind. Each failure carries a stable `code` that clients may rely on.

The API turns a kind into a status and a problem document; a worker logs it. A detail never holds a secret
or what the client sent.
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


class Failure(Exception):  # noqa: N818 - it is the root of failures that are a part of the contract, not of mistakes.
    """A foreseen failure that the caller is told about; `at` numbers the operation, where a request holds several."""

    code: ClassVar[str] = "failure"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.stable_code = code or self.code
        self.at: int | None = None


class Invalid(Failure):
    """The input breaks a rule; `errors` names every field that does."""

    code = "invalid"

    def __init__(self, errors: list[FieldError], detail: str = INVALID, *, code: str | None = None):
        super().__init__(detail, code=code)
        self.errors = errors


class Rejected(Failure):
    """The request is well formed, but the present state forbids it (a duplicate account, say)."""

    code = "rejected"


class Unauthenticated(Failure):
    """Nobody, or nobody we believe, is calling."""

    code = "unauthenticated"


class Forbidden(Failure):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(Failure):
    """There is no such thing, or the caller may not learn of it."""

    code = "not_found"


class Conflict(Failure):
    """Two changes met and this one came second."""

    code = "conflict"


class PreconditionFailed(Failure):
    """The thing has changed since the caller last saw it."""

    code = "precondition_failed"


class TooManyRequests(Failure):
    """The caller is over a limit and may come back after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, detail: str, retry_after: int, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class TooLarge(Failure):
    """What the caller sends is more than there is room for."""

    code = "too_large"


class Unavailable(Failure):
    """Something this needs is down or too slow; trying again after `retry_after` seconds makes sense."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after: int = 2, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after
