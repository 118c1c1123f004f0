"""The addresses of the links in mails. `core` does not contain any routes, so the worker passes these functions in."""

from collections.abc import Callable
from dataclasses import dataclass


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
