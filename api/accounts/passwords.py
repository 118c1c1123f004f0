"""Checks the caller's own password again before sensitive changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from api.http.places import RequestPlaces
from api.http.threads import Bridge
from core import security
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
