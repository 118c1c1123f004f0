"""The command `allweather` with all its commands, and what their failures look like."""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
from click.shell_completion import get_completion_class
from peewee import InterfaceError, OperationalError
from redis.exceptions import RedisError

from core import __version__
from core.cli.failure import CommandFailed
from core.cli.output import Session
from core.client.http import ApiError
from core.config import ConfigurationError
from core.local.embedded.process import EmbeddedError
from core.local.supervisor import ProcfileError

DONE: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130
_NAME: Final = "allweather"
_COMPLETION_VARIABLE: Final = "_ALLWEATHER_COMPLETE"
_EXPECTED: Final = (ApiError, CommandFailed, ConfigurationError, EmbeddedError, ProcfileError)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=_NAME)
def allweather() -> None:
    """Allweather: commands for operators, and a client for people.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted. `doctor` has its own meaning of 1 and 2.
    """


def _choose_json(context: click.Context, _parameter: click.Parameter, is_wanted: bool) -> None:
    context.obj.output.as_json = is_wanted


def command(
    name: str, group: click.Group = allweather
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Declare, as a decorator, a command of a group. Its function gets the `Session`, then the options by name.

    The function returns the exit code, or None for 0. Every command has the option `--json`.
    """

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        @functools.wraps(function)
        @click.pass_obj
        def run(session: Session, /, *arguments: Any, **options: Any) -> int | None:
            return function(session, *arguments, **options)

        json_option = click.option(
            "--json", is_flag=True, expose_value=False, callback=_choose_json, help="Write JSON, for programs."
        )
        group.command(name)(json_option(run))
        return function

    return register


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(session: Session, shell: str) -> None:
    """Print what makes a shell complete commands, as in: eval "$(allweather completion bash)"."""
    completion = get_completion_class(shell)
    if completion is None:
        raise CommandFailed(f"There is no completion for {shell}.")
    source = completion(allweather, {}, _NAME, _COMPLETION_VARIABLE).source()
    session.output.show({"shell": shell, "source": source}, *source.splitlines())


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command and return its exit code; an expected failure writes one message to stderr."""
    try:
        code = allweather.main(
            list(arguments),
            prog_name=_NAME,
            complete_var=_COMPLETION_VARIABLE,
            standalone_mode=False,
            obj=Session(environ),
        )
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except _EXPECTED as error:
        return _failed(str(error))
    except (OperationalError, InterfaceError) as error:
        return _failed(f"PostgreSQL cannot be reached: {error}")
    except RedisError as error:
        return _failed(f"Redis cannot be reached: {error}")
    return code if isinstance(code, int) else DONE


def _failed(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return FAILED
