"""The addresses of the links in mails. `core` does not contain any routes, so the worker passes these functions in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.config import API_PREFIX, Settings

PASSWORD_RESET_PATH: Final = "/auth/password/reset"  # noqa: S105 - a path.
"""The path, below the API's prefix, of the page for a new password. A command of the operator prints it too."""


@dataclass(frozen=True, slots=True)
class MailLinks:
    """The absolute URLs of a task by its id, and of pages by the token that they need.

    These pages end one kind of mail, confirm an email address, take a new password, and accept an invitation.
    """

    to_task: Callable[[int], str]
    to_unsubscribe: Callable[[str], str]
    to_verify_email: Callable[[str], str]
    to_reset_password: Callable[[str], str]
    to_invitation: Callable[[str], str]


def password_reset_link(settings: Settings, token: str) -> str:
    """Return the absolute URL of the page for a new password: the client's own, or that of the API."""
    page = settings.password_reset_url or f"{settings.public_url}{API_PREFIX}{PASSWORD_RESET_PATH}"
    separator = "&" if "?" in page else "?"
    return f"{page}{separator}token={token}"
