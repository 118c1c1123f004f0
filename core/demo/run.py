"""Run everything with the demonstration's data and weather, on servers of its own."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from core import db
from core.config import ConfigurationError, Settings
from core.demo.seed import has_accounts, seed
from core.demo.texts import PEOPLE
from core.demo.weather_server import DemoWeather
from core.local.embedded.environment import data_directory, demo_weather_directory
from core.local.embedded.process import announced
from core.local.run import run
from core.private_files import make_private_directory, write_private
from core.security import hash_password

DIRECTORY: Final = ".demo"
_SEED: Final = 1
_STATEMENT_SECONDS: Final = 60.0
_PASSWORD_BYTES: Final = 9
_PASSWORD_FILE: Final = "demo_password"  # noqa: S105 - the name of a file.
# All other settings could lead out of this machine: to a database, a mail server, a bucket.
_KEPT_SETTINGS: Final = frozenset({"PORT", "LOG_LEVEL", "WEB_CONCURRENCY"})

_HINT: Final = """\
  This is a demonstration, with made-up tasks and weather.

    Sign in as  {email}
    Password    {password}

  {others} have the same password.

"""


def demo(environ: Mapping[str, str]) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP, as `core.local.run.run()` does, and raise what it raises.

    The first run writes the data. Later runs find them, with what has changed since.
    """
    with DemoWeather() as weather:
        environment = _isolated(environ) | {
            "OPEN_METEO_URL": weather.url,
            "OPEN_METEO_GEOCODING_URL": weather.url,
            "DATA_DIR": environ.get("DATA_DIR") or DIRECTORY,
        }
        directory = data_directory(environment)
        environment["LOG_FILE"] = str(directory / "app.log")
        make_private_directory(directory)
        with announced(demo_weather_directory(environment), weather.url):
            run(environment, partial(_prepare, directory))


def _isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that cannot make the demonstration use anything outside of it."""
    settings = {name.upper() for name in Settings.model_fields} - _KEPT_SETTINGS
    settings |= {f"{name}_FILE" for name in settings}
    return {name: value for name, value in environ.items() if name not in settings}


def _prepare(directory: Path, settings: Settings) -> str:
    """Write the data unless they are there, and return how to sign in."""
    db.configure(settings.database_url.get_secret_value(), application="command", statement_seconds=_STATEMENT_SECONDS)
    password_file = directory / _PASSWORD_FILE
    try:
        is_seeded = has_accounts()
        if is_seeded and not password_file.exists():
            raise ConfigurationError(
                f"{directory} has data that are no demonstration; set DATA_DIR to another directory."
            )
        if not password_file.exists():
            write_private(password_file, secrets.token_urlsafe(_PASSWORD_BYTES))
        password = password_file.read_text(encoding="utf-8")
        if not is_seeded:
            seed(_SEED, hash_password(password, settings.bcrypt_rounds), datetime.now(UTC))
    finally:
        # The processes that are started now must not share this connection.
        db.disconnect()
    first, *others = PEOPLE
    names = ", ".join(person.email for person in others[:3])
    return _HINT.format(email=first.email, password=password, others=f"{names} and {len(others) - 3} more")
