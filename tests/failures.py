"""Work that has failed, for tests that list it, try it again or drop it."""

from core.db import unit_of_work
from core.policy import Actor
from core.retries import Key, RetryPolicy, WaitingWork
from core.services import account_mails, delegation, mail, weather
from core.services.failed_work import Work
from tests.builders import create_task
from tests.sql import execute

_ONCE = RetryPolicy(attempts=1, first_wait=3600, longest_wait=3600)
_TWICE = RetryPolicy(attempts=2, first_wait=3600, longest_wait=3600)


def failed_weather(owner: Actor, city: str = "London", *, given_up: bool = True) -> Work:
    """Make a task of this user whose weather could not be fetched."""
    task_id = create_task(owner, city=city)
    _fail(weather.WAITING, city.lower(), "the provider responds 500", given_up=given_up)
    return Work("weather", task_id)


def failed_account_mail(user: Actor, recipient: str = "alice@example.com", *, given_up: bool = True) -> Work:
    """Make a mail about this account that could not be sent."""
    with unit_of_work():
        account_mails.queue(account_mails.EMAIL_CHANGED, recipient=recipient, locale="en", user_id=user.user_id)
    (mail_id,) = execute("SELECT max(id) FROM account_mails").fetchone()
    _fail(account_mails.WAITING, mail_id, "ConnectionRefusedError", given_up=given_up)
    return Work("account_mail", mail_id)


def failed_notification_mail(sender: Actor, reader: Actor, *, given_up: bool = True) -> Work:
    """Make a notification of this reader whose mail could not be sent."""
    delegation.delegate_task(sender, create_task(sender), reader.user_id, None)
    (notification_id,) = execute("SELECT max(id) FROM notifications").fetchone()
    execute("UPDATE notifications SET mail_status = 'pending' WHERE id = %s", (notification_id,))
    _fail(mail.WAITING, notification_id, "450", given_up=given_up)
    return Work("notification_mail", notification_id)


def _fail(work: WaitingWork[Key], key: Key, reason: str, *, given_up: bool) -> None:
    policy = _ONCE if given_up else _TWICE
    assert work.claim([key], policy)
    work.give_up([key], policy, reason)
