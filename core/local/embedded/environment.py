"""The environment of a command: the given variables, and embedded servers for those that are missing."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from core.local.embedded.process import EmbeddedError, EmbeddedServer, running_url
from core.local.embedded.servers import EmbeddedPostgres, EmbeddedRedis, secret_key

_SERVERS: Final[dict[str, type[EmbeddedServer]]] = {"DATABASE_URL": EmbeddedPostgres, "REDIS_URL": EmbeddedRedis}
_WEATHER_URLS: Final = ("OPEN_METEO_URL", "OPEN_METEO_GEOCODING_URL")


def data_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory in which the embedded servers keep their data."""
    return Path(environ.get("DATA_DIR") or ".data").resolve()


def demo_weather_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory in which a running demonstration says where its weather server is."""
    return data_directory(environ) / "weather"


def refuse_second_run(environ: Mapping[str, str]) -> None:
    """Raise EmbeddedError if another process already runs the servers that this one would start."""
    for variable, server in _missing(environ).items():
        directory = _directory_of(server, environ)
        if running_url(directory) is not None:
            raise EmbeddedError(
                f"Allweather already runs with {directory.parent}. Stop it first, or set DATA_DIR to another directory "
                f"(or {variable} to a server of your own)."
            )


@contextmanager
def complete_environment(environ: Mapping[str, str]) -> Iterator[tuple[dict[str, str], list[EmbeddedServer]]]:
    """Fill in the URLs that `environ` does not give, from embedded servers that run until the block ends.

    If another process already runs a server in the same data directory, that server is used, and so is the weather
    server of a demonstration that runs there. Yields the environment and the servers started here. Raises EmbeddedError
    if a server cannot run.
    """
    complete = dict(environ)
    started: list[EmbeddedServer] = []
    with ExitStack() as stack:
        for variable, server_class in _missing(environ).items():
            directory = _directory_of(server_class, environ)
            url = running_url(directory)
            if url is None:
                server = _start(server_class(directory), stack)
                started.append(server)
                url = server.url
            complete[variable] = url
        if _missing(environ):
            complete["APP_ENV"] = environ.get("APP_ENV") or "development"
            if environ.get("PORT") and not _is_given("PUBLIC_URL", environ):
                complete["PUBLIC_URL"] = f"http://127.0.0.1:{environ['PORT']}"
            if (weather_url := running_url(demo_weather_directory(environ))) is not None:
                complete |= {name: weather_url for name in _WEATHER_URLS if not _is_given(name, environ)}
            if not _is_given("SECRET_KEY", environ):
                complete["SECRET_KEY"] = secret_key(data_directory(environ))
            if not _is_given("ATTACHMENT_DIR", environ):
                complete["ATTACHMENT_DIR"] = str(data_directory(environ) / "attachments")
        yield complete, started


def _start(server: EmbeddedServer, stack: ExitStack) -> EmbeddedServer:
    began = time.monotonic()
    _print(f"starting {server.title} ... ")
    stack.enter_context(server)
    _print(f"ready in {time.monotonic() - began:.1f} s\n")
    return server


def _missing(environ: Mapping[str, str]) -> dict[str, type[EmbeddedServer]]:
    return {variable: server for variable, server in _SERVERS.items() if not _is_given(variable, environ)}


def _is_given(variable: str, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(variable) or environ.get(f"{variable}_FILE"))


def _directory_of(server: type[EmbeddedServer], environ: Mapping[str, str]) -> Path:
    return data_directory(environ) / server.title.lower()


def _print(text: str) -> None:
    # The result of a command goes to stdout, which a program may read.
    sys.stderr.write(text)
    sys.stderr.flush()
