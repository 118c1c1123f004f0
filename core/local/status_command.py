"""The command `python -m core status`: the state of the installation, also while no web process runs."""

import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson

from core import redis_clients
from core.config import Settings
from core.local.commands import connect
from core.local.embedded.environment import complete_environment
from core.messages import SOURCE_LANGUAGE
from core.services import operations

_REDIS_SECONDS: Final = 2.0
_DETAILS: Final = (
    *("queues", "jobs", "requests", "tables", "connections", "locks", "capped_mails"),
    *("waiting_weather", "most_tasks", "most_stored"),
)


def status(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the state of the installation; returns the exit code, which is 1 if anything is bad."""
    with complete_environment(environ) as (environment, _):
        settings = Settings.from_environ(environment)
        connect(settings)
        seconds = {"socket_timeout": _REDIS_SECONDS, "socket_connect_timeout": _REDIS_SECONDS}
        with redis_clients.connect(settings.redis_url.get_secret_value(), **seconds) as redis:
            found = operations.overview(settings, operations.read_queues(redis), SOURCE_LANGUAGE)
    if as_json:
        _print(orjson.dumps(found).decode())
    else:
        _print_text(found)
    return int(found["state"] == "bad")


def _print_text(found: dict[str, Any]) -> None:
    for process in found["processes"]:
        uptime = f"{process['uptime_seconds']} s"
        _print("\t".join([process["state"], process["name"], process["host"], str(process["pid"]), uptime]))
    for measure in found["measures"]:
        value = "-" if measure["value"] is None else f"{measure['value']:g}"
        _print("\t".join([measure["state"], measure["name"], value, measure["unit"], measure["advice"] or ""]).rstrip())
    for detail in _DETAILS:
        for row in found[detail]:
            _print("\t".join([detail, *(f"{name}={value}" for name, value in row.items())]))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
