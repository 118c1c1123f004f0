"""The command line: `python -m core <command>`. An expected failure prints one message and exits with code 1."""

import argparse
import os
import sys
from functools import partial
from typing import Final

from core.config import ConfigurationError
from core.local import commands, work_commands
from core.local.embedded.process import EmbeddedError
from core.local.run import run
from core.local.status_command import status
from core.local.supervisor import ProcfileError

INTERRUPTED: Final = 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; it sets `command` to the function to call with the parsed arguments."""
    top = argparse.ArgumentParser(prog="python -m core", description="Allweather's command line.")
    add = top.add_subparsers(required=True, metavar="command").add_parser

    starter = add("run", help="start everything, with servers of its own where DATABASE_URL or REDIS_URL is not set")
    starter.set_defaults(command=lambda _: run(os.environ))

    migration = add("migrate", help="bring the database schema up to date")
    migration.set_defaults(command=lambda _: commands.migrate(os.environ))

    admin = add("admin", help="make an admin account; the password is asked for, or taken from ADMIN_PASSWORD")
    admin.add_argument("--email", help="whose account it is; ADMIN_EMAIL where it is left out")
    admin.add_argument("--promote", action="store_true", help="make an account that exists an admin's")
    admin.set_defaults(command=lambda given: commands.make_admin(os.environ, given.email, promote=given.promote))

    reset = add("reset-password", help="print a link with which the owner of an account chooses a new password")
    whose = reset.add_mutually_exclusive_group(required=True)
    whose.add_argument("--email", dest="name", help="the account's email")
    whose.add_argument("--username", dest="name", help="the account's username")
    reset.set_defaults(command=lambda given: commands.reset_password(os.environ, given.name))

    rebuild = add("rebuild-analytics", help="count all tasks anew")
    rebuild.set_defaults(command=lambda _: commands.rebuild_analytics(os.environ))

    state = add("status", help="print the state of the installation; the exit code is 1 if anything is bad")
    state.add_argument("--json", action="store_true", help="print JSON instead of text")
    state.set_defaults(command=lambda given: status(os.environ, as_json=given.json))

    work = add("work", help="list work that has failed, try it again, or drop it")
    work_commands.add_parsers(work, os.environ)

    confirmation = add("confirm-email", help="count the email of an account as confirmed")
    confirmation.add_argument("--email", required=True, help="the account's email")
    confirmation.set_defaults(command=lambda given: commands.confirm_email(os.environ, given.email))

    old_names = add("list-old-names", help="list accounts whose names another account has in their normal form")
    old_names.set_defaults(command=lambda _: commands.list_old_names(os.environ))

    for name, is_active in (("disable", False), ("enable", True)):
        switch = add(name, help=f"{name} an account")
        account = switch.add_mutually_exclusive_group(required=True)
        account.add_argument("--email", dest="name", help="the account's email")
        account.add_argument("--username", dest="name", help="the account's username")
        switch.set_defaults(command=partial(_set_active, is_active=is_active))

    resumed = add("resume-weather", help="call the weather provider again at once, after it has failed")
    resumed.set_defaults(command=lambda _: commands.resume_weather(os.environ))

    restored = add("skip-event-numbers", help="after a restore: skip the numbers that later events may have had")
    restored.set_defaults(command=lambda _: commands.skip_event_numbers(os.environ))
    return top


def _set_active(given: argparse.Namespace, *, is_active: bool) -> None:
    commands.set_active(os.environ, given.name, is_active=is_active)


def main() -> int:
    """Run the command of `sys.argv` in the environment of the process; returns the exit code.

    A command returns its exit code, or None if it has succeeded.
    """
    arguments = parser().parse_args()
    try:
        return arguments.command(arguments) or 0
    except (ConfigurationError, EmbeddedError, ProcfileError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
