"""The commands that show Allweather with made-up data."""

import secrets
from datetime import UTC, datetime
from typing import Final

import click

from core import db
from core.cli.application import command
from core.cli.failure import CommandFailed
from core.cli.output import Session
from core.config import Settings
from core.demo.run import demo
from core.demo.seed import has_accounts, seed
from core.demo.texts import PEOPLE
from core.errors import Rejected
from core.local.embedded.environment import complete_environment
from core.security import hash_password

_STATEMENT_SECONDS: Final = 60.0
_PASSWORD_BYTES: Final = 12


@command("seed")
@click.option("--seed", "number", default=1, show_default=True, help="The same number gives the same data.")
@click.option("--force", is_flag=True, help="Write into a database that has accounts.")
def _seed(session: Session, number: int, force: bool) -> None:
    """Write made-up people, groups, and 500 tasks with weather over 60 days.

    All of these people get one password, which is made now and printed. They are sent no mails.
    """
    with complete_environment(session.environ) as (environment, _):
        settings = Settings.from_environ(environment)
        url = settings.database_url.get_secret_value()
        db.configure(url, application="command", statement_seconds=_STATEMENT_SECONDS)
        if has_accounts() and not force:
            raise CommandFailed("The database has accounts. --force writes the data beside theirs.")
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        try:
            written = seed(number, hash_password(password, settings.bcrypt_rounds), datetime.now(UTC))
        except Rejected:
            raise CommandFailed("One of the people is there already, so nothing was written.") from None
        finally:
            db.disconnect()
    emails = [person.email for person in PEOPLE]
    counts = {
        "people": written.people,
        "groups": written.groups,
        "tasks": written.tasks,
        "comments": written.comments,
        "reminders": written.reminders,
    }
    session.output.show(
        {"written": counts, "emails": emails, "password": password},
        ", ".join(f"{count} {name}" for name, count in counts.items()),
        f"Sign in as {emails[0]}, who is an admin, or as {', '.join(emails[1:4])}, …",
        f"Password of all: {password}",
    )


@command("demo")
def _demo(session: Session) -> None:
    """Start everything with made-up data and weather, on servers of its own, without internet.

    Prints the addresses, and a name and a password. Ctrl-C stops everything; the data stay in DATA_DIR, which is
    .demo where it is not set.
    """
    demo(session.environ)
