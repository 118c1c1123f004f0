"""The links in mails: they lead to the API at its public address, to the console, or to a page of the client."""

from functools import partial

from core.config import API_PREFIX, Settings
from core.links import MailLinks, password_reset_link


def links_into(settings: Settings) -> MailLinks:
    """Return the links to the API of an installation; an invitation leads to the console, where there is one.

    The part of an address after `#` is not sent to the server, so the token does not get into logs.
    """
    api = f"{settings.public_url}{API_PREFIX}"
    invitation = f"{settings.public_url}/#/invitation" if settings.console else f"{api}/auth/invitation"
    return MailLinks(
        to_task=lambda task_id: f"{api}/tasks/{task_id}",
        to_unsubscribe=lambda token: f"{api}/notifications/unsubscribe?token={token}",
        to_verify_email=lambda token: f"{api}/auth/email/verify?token={token}",
        to_invitation=lambda token: f"{invitation}?token={token}",
        to_reset_password=partial(password_reset_link, settings),
    )
