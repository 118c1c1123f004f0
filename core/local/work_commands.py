"""The commands about work that has failed: `python -m core work list|retry|drop`."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import orjson

from core import events
from core.config import ConfigurationError
from core.local.commands import connected_to_database
from core.services import failed_work
from core.services.failed_work import MOST_AT_ONCE, Filter, Kind, Outcome, State, Work

_PAGE: Final = 100
_COLUMNS: Final = ("kind", "id", "state", "since", "attempts", "next_attempt_at", "what", "recipient", "reason")

Change = Callable[[None, list[Work]], Outcome]
ChangeMatching = Callable[[None, Filter], Outcome]


def add_parsers(work: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add the sub-commands to the parser of `work`."""
    add = work.add_subparsers(required=True, metavar="action").add_parser

    lister = add("list", help="list work that has failed, that which began to fail last first")
    _add_filter(lister)
    lister.add_argument("--limit", type=_positive, default=_PAGE, help=f"how many at most; {_PAGE} if it is left out")
    lister.set_defaults(command=lambda given: _list(environ, given))

    retry = add("retry", help="try failed work again, from the first attempt")
    _add_choice(retry)
    retry.set_defaults(
        command=lambda given: _change(environ, given, failed_work.retry, failed_work.retry_matching, "will be tried")
    )

    drop = add("drop", help="never try failed work again")
    _add_choice(drop)
    drop.set_defaults(
        command=lambda given: _change(environ, given, failed_work.drop, failed_work.drop_matching, "were dropped")
    )


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=get_args(Kind))
    parser.add_argument("--state", choices=get_args(State))
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("items", nargs="*", type=_work, default=[], metavar="KIND:ID", help="such as weather:7")
    which.add_argument("--all", action="store_true", help="all that --kind and --state match")
    _add_filter(parser)


def _work(text: str) -> Work:
    kind, _, row_id = text.partition(":")
    if kind not in get_args(Kind) or not row_id.isascii() or not row_id.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not of the form KIND:ID, such as weather:7")
    return Work(kind, int(row_id))  # type: ignore[arg-type]  # The line above has checked that it is a kind.


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _list(environ: Mapping[str, str], given: argparse.Namespace) -> None:
    with connected_to_database(environ):
        page = failed_work.list_failed_work(Filter(given.kind, given.state), None, 0, given.limit)
    if given.json:
        _print(f'{{"items":{page.items},"total":{page.total}}}')
        return
    items: list[dict[str, Any]] = orjson.loads(page.items)
    for item in items:
        _print("\t".join("-" if item[name] is None else str(item[name]) for name in _COLUMNS))
    _print(f"{len(items)} of {page.total}")


def _change(
    environ: Mapping[str, str], given: argparse.Namespace, change: Change, matching: ChangeMatching, done: str
) -> None:
    """Change the chosen work, and print how much it was.

    Raises:
        ConfigurationError: if some of the named work has not failed, after the rest was changed; or, before anything
            is changed, if work is named and a filter is given too.
    """
    if given.items and (given.kind or given.state):
        raise ConfigurationError("--kind and --state go with --all, not with named work.")
    # The lines would stand between what the command prints. The audit log has what was changed.
    with connected_to_database(environ), events.without_log_lines():
        if given.all:
            count = _change_all(matching, Filter(given.kind, given.state))
        else:
            batches = [given.items[start : start + MOST_AT_ONCE] for start in range(0, len(given.items), MOST_AT_ONCE)]
            count = sum(change(None, batch).count for batch in batches)
    _print(orjson.dumps({"changed": count}).decode() if given.json else f"{count} {done}")
    missing = len(set(given.items)) - count
    if missing > 0:
        raise ConfigurationError(f"{missing} of them have not failed, or do not exist.")


def _change_all(matching: ChangeMatching, which: Filter) -> int:
    """Change as much work as matched at the beginning. What fails again meanwhile is not tried without end."""
    outcome = matching(None, which)
    total, wanted = outcome.count, outcome.count + outcome.remaining
    while outcome.count and total < wanted:
        outcome = matching(None, which)
        total += outcome.count
    return total


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
