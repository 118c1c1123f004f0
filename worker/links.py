"""The links in mails: they lead to the API at its public address, or to a page of the client."""

from core.config import API_PREFIX, Settings
from core.links import MailLinks


def links_into(settings: Settings) -> MailLinks:
    """Return the links to the API of an installation."""
    api = f"{settings.public_url}{API_PREFIX}"
    reset_page = settings.password_reset_url or f"{api}/auth/password/reset"
    separator = "&" if "?" in reset_page else "?"
    return MailLinks(
        to_task=lambda task_id: f"{api}/tasks/{task_id}",
        to_unsubscribe=lambda token: f"{api}/notifications/unsubscribe?token={token}",
        to_verify_email=lambda token: f"{api}/auth/email/verify?token={token}",
        to_invitation=lambda token: f"{api}/auth/invitation?token={token}",
        to_reset_password=lambda token: f"{reset_page}{separator}token={token}",
    )
