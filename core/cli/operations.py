"""The operator's commands: examine the installation, accounts, the API description."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import orjson
from rich.text import Text

from core.cli.application import command
from core.cli.failure import CommandFailed
from core.cli.output import Session, plain, table
from core.config import Settings
from core.doctor import Level, examine, worst
from core.local import commands

_PROJECT: Final = Path(__file__).resolve().parents[2]
_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "bold red"}
_DESCRIPTION_SECONDS: Final = 60


@command("doctor")
def _doctor(session: Session) -> int:
    """Examine everything, and say what is wrong and what to do.

    Exit codes: 0 all is well, 1 there are warnings, 2 something is bad.
    """
    findings = examine(session.environ)
    level = worst(findings)
    lines = table("", "", "")
    for finding in findings:
        mark = Text(finding.level.name.lower(), style=_STYLES[finding.level])
        advice = Text("\n").append_text(plain(f"→ {finding.advice}")) if finding.advice else Text()
        lines.add_row(mark, plain(finding.subject), plain(finding.text).append_text(advice))
    document = {"level": level.name.lower(), "findings": [finding.as_dict() for finding in findings]}
    session.output.show(document, lines)
    return int(level)


@command("admin")
@click.option("--email", help="Whose account it is; ADMIN_EMAIL where it is left out.")
@click.option("--promote", is_flag=True, help="Make an account that exists an admin's.")
def _admin(session: Session, email: str | None, promote: bool) -> None:
    """Make an admin account; the password is asked for, or taken from ADMIN_PASSWORD."""
    said: list[str] = []
    commands.make_admin(session.environ, email, promote=promote, say=said.append)
    session.output.show({"done": said}, *said)


@command("reset-password")
@click.argument("name", metavar="EMAIL_OR_USERNAME")
def _reset_password(session: Session, name: str) -> None:
    """Print a link with which the owner of an account chooses a new password.

    It is valid once and for a short time. Only the owner of the account should get it.
    """
    link, minutes = commands.make_reset_link(session.environ, name)
    session.output.show(
        {"link": link, "minutes": minutes},
        f"Valid once, for {minutes} minutes; only the owner of the account should get it:",
        link,
    )


@command("openapi")
@click.option("--output", "-o", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write a file.")
def _openapi(session: Session, output: Path | None) -> None:
    """Print the OpenAPI description of the API. It needs neither configuration nor servers."""
    name = session.environ.get("APP_NAME") or Settings.model_fields["app_name"].default
    # The description is made of the declarations in `api`, which the core does not import.
    done = subprocess.run(  # noqa: S603 - the program is this Python, and the argument is one word of a setting.
        [sys.executable, "-m", "api.describe", name],
        cwd=_PROJECT,
        env=dict(session.environ),
        capture_output=True,
        check=False,
        timeout=_DESCRIPTION_SECONDS,
    )
    if done.returncode != 0:
        raise CommandFailed(f"The API cannot be described:\n{done.stderr.decode(errors='replace')}")
    if output is None:
        session.output.show(orjson.loads(done.stdout), *done.stdout.decode().splitlines())
        return
    output.write_bytes(done.stdout)
    session.output.note(f"written to {output}")
