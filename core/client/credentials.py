"""The login of a person: one file that only this person may read."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from core.private_files import make_private_directory, open_privately, write_private

_FILE: Final = "login.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login: the server, and the tokens. `expires_at` is when the access token ends, in seconds since 1970."""

    url: str
    access_token: str
    refresh_token: str
    expires_at: float


class CredentialsFile:
    """Where a login is kept between commands."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / _FILE

    def load(self) -> Credentials | None:
        """Return the login, or None if there is none that can be read."""
        try:
            return Credentials(**orjson.loads(self._file.read_bytes()))
        except (FileNotFoundError, orjson.JSONDecodeError, TypeError):
            return None

    def store(self, credentials: Credentials) -> None:
        """Replace the login, completely or not at all."""
        make_private_directory(self._directory)
        write_private(self._file, orjson.dumps(asdict(credentials)).decode())

    def remove(self) -> None:
        """Forget the login."""
        self._file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands out while tokens are exchanged: a refresh token may be used only once."""
        make_private_directory(self._directory)
        with open(self._directory / "lock", "wb", opener=open_privately) as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            yield


def config_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of this person's configuration."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path(environ.get("HOME") or Path.home()) / ".config") / "allweather"
