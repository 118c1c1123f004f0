"""The command line: `python -m core <command>`. A failure that has a cause is one line and exit code 1."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from core.config import ConfigurationError
from core.embedded_server import EmbeddedError
from core.run import run
from core.supervisor import ProcfileError

INTERRUPTED: Final = 130

Command = Callable[[argparse.Namespace, Mapping[str, str]], None]


def _run(_arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """start everything, with servers of its own where DATABASE_URL or REDIS_URL is not set"""
    run(environ)


COMMANDS: Final[dict[str, Command]] = {"run": _run}


def parser() -> argparse.ArgumentParser:
    """Answer the parser of the command line; a command's docstring is its help."""
    top = argparse.ArgumentParser(prog="python -m core", description="Allweather's command line.")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.__doc__)
    return top


def main() -> int:
    """Run the command of `sys.argv` in the environment of the process; answers the exit code."""
    arguments = parser().parse_args()
    try:
        COMMANDS[arguments.command](arguments, os.environ)
    except (ConfigurationError, EmbeddedError, ProcfileError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
