"""What requests that take a password share: its check before sensitive changes, and why a new one was refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from api.http.places import RequestPlaces
from api.http.threads import Bridge
from core import security
from core.errors import Failure, Invalid
from core.messages import msg
from core.policy import Actor
from core.services import confirmation

# A process has few threads for passwords. With one place for each user, nobody can occupy the threads that the logins
# of others need.
PLACES: Final = RequestPlaces(per_holder=1)
"""The places of users whose passwords are being checked or hashed."""


@asynccontextmanager
async def confirmed_password(bridge: Bridge, actor: Actor, address: str, password: str) -> AsyncIterator[None]:
    """Check that this is the caller's password, because somebody else might use the caller's open session.

    The caller's place for passwords is taken until the block ends, so a new password is hashed inside it.

    Raises:
        Invalid: if it is not the caller's password.
        TooManyRequests: with code `login_delayed` if too many passwords were wrong lately, or with `too_many_at_once`
            if another request of the caller checks a password.
    """
    with PLACES.taken_by(actor.user_id):
        attempt = await bridge.run(confirmation.begin, actor, address)
        matches = await bridge.run_password_work(security.verify_password, password, attempt.password_hash)
        await bridge.run(confirmation.finish, attempt, matches=matches)
        yield


def why_refused(failure: Failure) -> str:
    """Return what a person reads on a page that asks for a new password, as its field `password`."""
    problems = failure.errors if isinstance(failure, Invalid) else ()
    for problem in problems:
        if problem.field == "password":
            return msg("The password {problem}.", problem=problem.message)
    return failure.detail
