"""The addresses of the links in mails. `core` does not contain any routes, so the worker passes these functions in."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailLinks:
    """The absolute URL of a task by its id, and of the page that ends one kind of mail by its token."""

    to_task: Callable[[int], str]
    to_unsubscribe: Callable[[str], str]
