"""Where the links in mails lead: to the API, as it is reached from outside."""

from core.config import API_PREFIX
from core.links import MailLinks


def links_into(public_url: str) -> MailLinks:
    """The links into the API of an installation whose `PUBLIC_URL` this is."""
    api = f"{public_url}{API_PREFIX}"
    return MailLinks(
        to_task=lambda task_id: f"{api}/tasks/{task_id}",
        to_unsubscribe=lambda token: f"{api}/notifications/unsubscribe?token={token}",
    )
