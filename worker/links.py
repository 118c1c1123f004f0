"""The links in mails: they lead to the API at its public address."""

from core.config import API_PREFIX
from core.links import MailLinks


def links_into(public_url: str) -> MailLinks:
    """Return the links to the API of an installation with this `PUBLIC_URL`."""
    api = f"{public_url}{API_PREFIX}"
    return MailLinks(
        to_task=lambda task_id: f"{api}/tasks/{task_id}",
        to_unsubscribe=lambda token: f"{api}/notifications/unsubscribe?token={token}",
    )
