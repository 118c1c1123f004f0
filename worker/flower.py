"""The start of Flower: whoever can open it can stop workers, so in production it needs a login."""

import sys
from collections.abc import Mapping

from core.config import Settings

_REFUSAL = (
    "Flower does not start in production without a login. Set FLOWER_BASIC_AUTH to user:password (more of them are "
    "separated by commas), or FLOWER_AUTH for a login by OAuth."
)


def refuse_without_login(settings: Settings, environ: Mapping[str, str]) -> None:
    """End the process with a message if this is Flower, in production, and everybody could open it."""
    if "flower" not in sys.argv or settings.is_development or environ.get("FLOWER_AUTH"):
        return
    logins = [login.partition(":") for login in environ.get("FLOWER_BASIC_AUTH", "").split(",")]
    if not all(user and password for user, _, password in logins):
        sys.exit(_REFUSAL)
