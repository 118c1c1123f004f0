"""The commands of an operator; they also work while the system is running."""

import getpass
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from core import db
from core.config import ConfigurationError, Settings
from core.errors import Conflict, NotFound, Rejected
from core.links import password_reset_link
from core.local.embedded.environment import complete_environment
from core.migrations import migrate as run_migrations
from core.policy import Role
from core.security import PASSWORD_MAX_LENGTH, PASSWORD_MIN_LENGTH, TokenIssuer
from core.services import (
    account_names,
    accounts,
    administration,
    analytics,
    password_resets,
    publication,
    weather_calls,
)

_STATEMENT_SECONDS = 600.0

Say = Callable[[str], object]
"""Tells the operator a sentence."""


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def migrate(environ: Mapping[str, str]) -> None:
    """Bring the schema up to date."""
    with complete_environment(environ) as (environment, _):
        settings = Settings.from_environ(environment)
        done = run_migrations(settings.database_url.get_secret_value())
    _print(f"migrated: {', '.join(done)}" if done else "nothing to migrate")


def make_admin(environ: Mapping[str, str], email: str | None, *, promote: bool, say: Say = _print) -> None:
    """Make an admin account, or, with `promote`, give an existing account the role of an admin.

    `say` is called with each sentence about what was done.

    Raises:
        ConfigurationError: if there is no email or no valid password, or if the account exists and `promote` is not
            set. Another person may have registered with this email, so `promote` must be given explicitly.
    """
    with complete_environment(environ) as (environment, _):
        settings = Settings.from_environ(environment)
        connect(settings)
        email = email or settings.admin_email
        if not email:
            raise ConfigurationError("Whose account? Give --email, or set ADMIN_EMAIL.")
        if promote:
            _promote(email, say)
            return
        password = _ask_password(settings)
        try:
            accounts.register_admin(email, password, settings.bcrypt_rounds)
        except Rejected:
            raise ConfigurationError(f"{email} has an account; --promote makes it an admin's.") from None
        say(f"{email} has an admin account now")


def _promote(email: str, say: Say) -> None:
    profile = accounts.promote(email, Role.ADMIN)
    if profile is None:
        raise ConfigurationError(f"There is no account of {email}.")
    say(f"{email} is an admin now")
    if not profile["email_verified"]:
        say("Nobody has confirmed this email. Make sure that the account belongs to whom you mean.")


def reset_password(environ: Mapping[str, str], name: str) -> None:
    """Print the link of `make_reset_link()`."""
    link, minutes = make_reset_link(environ, name)
    _print(f"Valid once, for {minutes} minutes; only the owner of the account should get it:")
    _print(link)


def make_reset_link(environ: Mapping[str, str], name: str) -> tuple[str, int]:
    """Return a link with which the owner of the account with this email or username chooses a new password.

    The second value is for how many minutes it is valid. The operator passes the link on and never knows the password.

    Raises:
        ConfigurationError: if there is no such account, or it is disabled.
    """
    with complete_environment(environ) as (environment, _):
        settings = Settings.from_environ(environment)
        connect(settings)
        token = password_resets.make_token(name, TokenIssuer.from_settings(settings))
        if token is None:
            raise ConfigurationError(f"There is no active account of {name}.")
    return password_reset_link(settings, token), password_resets.LIFETIME // timedelta(minutes=1)


def rebuild_analytics(environ: Mapping[str, str]) -> None:
    """Compute the analytics again from all tasks."""
    with connected_to_database(environ):
        analytics.rebuild()
    _print("the analytics are rebuilt")


def confirm_email(environ: Mapping[str, str], email: str) -> None:
    """Count the email of an account as confirmed, because the operator knows that it belongs to the account.

    Raises:
        ConfigurationError: if no account has this email.
    """
    with connected_to_database(environ):
        if not administration.confirm_email(email):
            raise ConfigurationError(f"There is no account of {email}.")
    _print(f"{email} counts as confirmed now")


def list_old_names(environ: Mapping[str, str]) -> None:
    """Print the accounts whose owners have to choose another name, because an older account has its normal form."""
    with connected_to_database(environ):
        for user in account_names.without_normal_form():
            _print(f"{user.id}\t{user.username}\t{user.email or '-'}")


def set_active(environ: Mapping[str, str], name: str, *, is_active: bool) -> None:
    """Disable the account with this email or username, which ends its sessions, or enable it again.

    Raises:
        ConfigurationError: if there is no such account, or it is that of the last active admin.
    """
    with connected_to_database(environ):
        try:
            administration.set_active(name, is_active=is_active)
        except (NotFound, Conflict) as error:
            raise ConfigurationError(str(error)) from None
    _print(f"{name} is {'enabled' if is_active else 'disabled'} now")


def resume_weather(environ: Mapping[str, str]) -> None:
    """Let every process call the weather provider again at once, because its failure is over."""
    with connected_to_database(environ):
        weather_calls.resume()
    _print("the weather provider may be called again")


def skip_event_numbers(environ: Mapping[str, str]) -> None:
    """After a backup was restored: skip the numbers that events after the backup may have had."""
    with connected_to_database(environ):
        first = publication.skip_numbers()
    _print(f"the next event gets a number above {first}")


@contextmanager
def connected_to_database(environ: Mapping[str, str]) -> Iterator[None]:
    """Give a command its database: that of the environment, or an embedded one that runs until the block ends."""
    with complete_environment(environ) as (environment, _):
        connect(Settings.from_environ(environment))
        yield


def connect(settings: Settings) -> None:
    """Let this process use the database of the settings, with enough time for long statements."""
    db.configure(settings.database_url.get_secret_value(), application="command", statement_seconds=_STATEMENT_SECONDS)


def _ask_password(settings: Settings) -> str:
    if settings.admin_password is not None:
        password = settings.admin_password.get_secret_value()
    else:
        password = getpass.getpass("Password of the admin: ")
    if not PASSWORD_MIN_LENGTH <= len(password) <= PASSWORD_MAX_LENGTH:
        raise ConfigurationError(f"A password has {PASSWORD_MIN_LENGTH} to {PASSWORD_MAX_LENGTH} characters.")
    return password
