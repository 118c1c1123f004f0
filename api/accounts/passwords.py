"""Checks the caller's own password again before sensitive changes."""

from api.http.threads import Bridge
from core import security
from core.policy import Actor
from core.services import accounts


async def confirm_password(bridge: Bridge, actor: Actor, password: str) -> None:
    """Check that this is the caller's password, because somebody else might use the caller's open session.

    Raises:
        Invalid: if it is not the caller's password.
    """
    password_hash = await bridge.run(accounts.own_password_hash, actor)
    matches = await bridge.run_bcrypt(security.verify_password, password, password_hash)
    accounts.require_own_password(matches=matches)
